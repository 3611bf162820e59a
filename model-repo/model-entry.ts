/** One model of the repository in memory: its versions, their states, and what answers. */
import type { Model } from "../scheduler/model.ts";
import type { TemporaryModel } from "./file-override.ts";
import { UNLOADED, type VersionState } from "./lifecycle.ts";
import type { IndexEntry, LoadedModel } from "./repository-types.ts";

/** A version that is loaded, with what the repository remembers of it. */
export interface LoadedVersion extends LoadedModel {
  readonly model: Model;
  readonly number: number;
  /** The version directory it was loaded from. */
  readonly directory: string;
  /** Tells whether the files it was loaded from are still the same. */
  readonly fingerprint: string;
  /** Versions of other models that it runs on, as its load looked them up. */
  readonly parts: ReadonlySet<LoadedVersion>;
  /** Threads its runs keep busy at most. */
  readonly threads: number;
  /** Goes on with the state of a model whose place it takes; undefined: there is none. */
  readonly takeOver: ((before: Model) => void) | undefined;
}

/** What a load request put in place of the files on disk; it stays until the model is unloaded. */
export interface ActiveOverride {
  /** Differs between load requests, so that each of them loads again. */
  readonly id: number;
  readonly config: string | undefined;
  /** Where files came with the request. */
  readonly temporary: TemporaryModel | undefined;
}

/** explicit: asked for by name; implicit: loaded because another model is made of it; none: not wanted. */
export type Intent = "explicit" | "implicit" | "none";

interface VersionRecord {
  readonly state: VersionState;
  /** What runs in the states READY and UNLOADING. */
  readonly loaded: LoadedVersion | undefined;
}

export class ModelEntry {
  readonly name: string;
  intent: Intent = "none";
  override: ActiveOverride | undefined;
  /** Models it is made of, as last read from disk; what serves may still be made of others. */
  dependencies: readonly string[] = [];
  /** Why no version is known although the model is wanted: its configuration does not work. */
  problem: string | undefined;
  readonly #versions = new Map<number, VersionRecord>();
  /** READY versions by their text, for the lookups of requests. */
  readonly #ready = new Map<string, LoadedVersion>();
  #latest: LoadedVersion | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** The READY version of this text, the highest for "". */
  find(version: string): LoadedVersion | undefined {
    return version === "" ? this.#latest : this.#ready.get(version);
  }

  /** READY versions, ascending. */
  ready(): LoadedVersion[] {
    return [...this.#ready.values()].sort((a, b) => a.number - b.number);
  }

  /** Models that its READY versions run on. */
  servedParts(): string[] {
    return [...new Set(this.ready().flatMap(({ parts }) => [...parts].map((part) => part.name)))];
  }

  state(version: number): VersionState | undefined {
    return this.#versions.get(version)?.state;
  }

  hasVersions(): boolean {
    return this.#versions.size > 0;
  }

  /** A version begins to load; one that serves stays READY meanwhile. */
  startLoading(version: number): void {
    if (!this.#ready.has(String(version))) this.#set(version, { kind: "LOADING" }, undefined);
  }

  /** A load ended without this version; one that serves goes on serving. */
  notLoaded(version: number, reason: string): void {
    if (!this.#ready.has(String(version))) this.#set(version, { kind: "UNAVAILABLE", reason }, undefined);
  }

  /** A loaded version takes over; returns the one it replaces. */
  activate(loaded: LoadedVersion): LoadedVersion | undefined {
    const replaced = this.#ready.get(loaded.version);
    this.#set(loaded.number, { kind: "READY" }, loaded);
    return replaced;
  }

  /** A READY version stops answering new requests; call `retired` once it is closed. */
  retire(version: LoadedVersion): void {
    this.#set(version.number, { kind: "UNLOADING" }, version);
  }

  /** A version was closed. Without effect where another one has its number by now. */
  retired(version: LoadedVersion, reason: string = UNLOADED): void {
    const record = this.#versions.get(version.number);
    if (record?.loaded !== version) return;
    this.#set(version.number, { kind: "UNAVAILABLE", reason }, undefined);
  }

  /** Nobody wants the model any more: what failed counts as unloaded. */
  forget(): void {
    this.intent = "none";
    this.problem = undefined;
    for (const [version, { state }] of this.#versions) {
      if (state.kind === "UNAVAILABLE") this.#set(version, { kind: "UNAVAILABLE", reason: UNLOADED }, undefined);
    }
  }

  /**
   * Triton's strict rule: every version READY or unloaded on request. Reloads do not spoil it: a version on its way out,
   * or loading beside one that serves, may wait.
   */
  isReady(): boolean {
    if (this.intent !== "none" && !this.hasVersions()) return false;
    return [...this.#versions.values()].every(({ state }) => {
      if (state.kind === "LOADING") return this.#latest !== undefined;
      return state.kind !== "UNAVAILABLE" || state.reason === UNLOADED;
    });
  }

  /** Rows of RepositoryIndex. */
  rows(): IndexEntry[] {
    const { name } = this;
    if (!this.hasVersions()) {
      const state = this.problem === undefined ? "" : "UNAVAILABLE";
      return [{ name, version: "", state, reason: this.problem ?? "" }];
    }
    const ascending = [...this.#versions].sort(([a], [b]) => a - b);
    return ascending.map(([version, { state }]) => ({
      name,
      version: String(version),
      state: state.kind,
      reason: state.kind === "UNAVAILABLE" ? state.reason : "",
    }));
  }

  #set(version: number, state: VersionState, loaded: LoadedVersion | undefined): void {
    this.#versions.set(version, { state, loaded });
    if (state.kind === "READY" && loaded !== undefined) this.#ready.set(loaded.version, loaded);
    else this.#ready.delete(String(version));
    this.#latest = this.ready().at(-1);
  }
}
