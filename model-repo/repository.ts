/** The model repository as the server sees it: lookups, control requests with Triton's texts, start-up, polling. */
import { availableParallelism } from "node:os";
import { InferenceError } from "../proto/errors.ts";
import type { Model } from "../scheduler/model.ts";
import type { ModelConfig } from "./config/model-config.ts";
import { writeTemporaryModel } from "./file-override.ts";
import { UNLOADED } from "./lifecycle.ts";
import { checkLoadName, type LoadOverride, parseLoadParameters, parseUnloadParameters } from "./load-parameters.ts";
import type { ActiveOverride, LoadedVersion } from "./model-entry.ts";
import { type ModelFailure, ModelSet } from "./model-set.ts";
import { DEFAULT_PARTS, type RepositoryParts } from "./model-source.ts";
import type { Scan } from "./poll-policy.ts";
import { Poller } from "./poller.ts";
import type { Listing } from "./repository-files.ts";
import type {
  IndexEntry,
  LoadedModel,
  LoadFailure,
  RepositoryOptions,
  RepositoryParameters,
  StartReport,
} from "./repository-types.ts";
import { parseVersion } from "./version-number.ts";

/** `--load-model=*`. */
const ALL_MODELS = "*";

export class ModelRepository {
  readonly #options: RepositoryOptions;
  readonly #parts: RepositoryParts;
  readonly #models: ModelSet;
  readonly #poller: Poller;
  /** Loads and unloads under way. */
  readonly #changes = new Set<Promise<unknown>>();
  #state: "starting" | "serving" | "failed" | "closing" = "starting";
  #nextOverrideId = 1;

  constructor(options: RepositoryOptions, parts: RepositoryParts = DEFAULT_PARTS) {
    this.#options = options;
    this.#parts = parts;
    this.#models = new ModelSet(
      {
        ...options,
        coreCount: availableParallelism(),
        find: (name, version) => this.#find(name, version),
      },
      parts,
    );
    this.#poller = new Poller({
      intervalMs: options.pollSeconds * 1000,
      allowMassUnload: options.allowMassUnload,
      scan: () => this.#scan(),
      apply: (load, unload) => this.#applyPoll(load, unload),
      clock: options.clock,
      log: options.log,
    });
  }

  /** Loads what the control mode asks for. Never rejects: what cannot load is in the report. */
  async start(): Promise<StartReport> {
    const { repositories, controlMode, log } = this.#options;
    let listing: Listing;
    let scan: Scan = new Map();
    try {
      listing = await this.#parts.files.list(repositories);
      if (controlMode === "poll") scan = await this.#scan();
    } catch (error) {
      this.#state = "failed";
      return { entries: [], failures: [], repositoryError: InferenceError.from(error) };
    }
    for (const directory of listing.ignored) {
      log.warn({ directory }, `'${directory}' cannot be the name of a model (letters, digits, '_', '-', '.'): ignored`);
    }
    const failed = await this.#change(() => this.#loadAll(this.#namesToStart(listing)));
    this.#state = "serving";
    if (controlMode === "poll") this.#poller.start(scan, new Set(failed.keys()));
    const failures = [...failed].map(([name, { error }]) => ({ name, reason: error.message }));
    return { entries: await this.index(false), failures };
  }

  /** The version that answers; "" is the highest that is ready. Throws Triton's lookup and version texts. */
  find(name: string, version: string): LoadedModel {
    return this.#find(name, version);
  }

  #find(name: string, version: string): LoadedVersion {
    const entry = this.#models.get(name);
    const found = entry?.find(version);
    if (found !== undefined) return found;
    const number = parseVersion(version);
    if (entry === undefined || !entry.hasVersions()) {
      throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' is not found`);
    }
    if (number === undefined) {
      throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' has no available versions`);
    }
    const sameNumber = entry.find(String(number));
    if (sameNumber !== undefined) return sameNumber;
    if (entry.state(number) === undefined) {
      throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' version ${number} is not found`);
    }
    const text = `Request for unknown model: '${name}' version ${number} is not at ready state`;
    throw new InferenceError("UNAVAILABLE", text);
  }

  lookup(name: string, version: string): Model {
    return this.find(name, version).model;
  }

  config(name: string, version: string): ModelConfig {
    return this.find(name, version).config;
  }

  /** Versions that answer, ascending; none for an unknown model. */
  readyVersions(name: string): string[] {
    return (this.#models.get(name)?.ready() ?? []).map((loaded) => loaded.version);
  }

  /** False for unknown models and for those that would not answer now; throws only for a malformed version. */
  isModelReady(name: string, version: string): boolean {
    const number = parseVersion(version);
    const found = this.#models.get(name)?.find(number === undefined ? "" : String(number));
    return found !== undefined && found.model.isReady !== false;
  }

  /** Whether the server can take requests; strict: and every wanted version of every model is ready. */
  isReady(strict: boolean): boolean {
    return this.#state === "serving" && (!strict || [...this.#models.all()].every((entry) => entry.isReady()));
  }

  /** RepositoryIndex: sorted by name, then version. Models on disk that were never loaded have a name only. */
  async index(readyOnly: boolean): Promise<IndexEntry[]> {
    const listing = await this.#parts.files.list(this.#options.repositories).catch(() => undefined);
    const names = new Set(listing?.models.keys());
    for (const entry of this.#models.all()) {
      if (listing === undefined || entry.rows().some((row) => row.state !== "" && row.reason !== UNLOADED)) {
        names.add(entry.name);
      }
    }
    const rows = [...names].sort().flatMap((name): IndexEntry[] => {
      const entry = this.#models.get(name);
      if (entry?.hasVersions() === true) return entry.rows();
      const problem = listing?.models.get(name)?.problem;
      if (problem !== undefined) return [{ name, version: "", state: "UNAVAILABLE", reason: problem }];
      return entry?.rows() ?? [{ name, version: "", state: "", reason: "" }];
    });
    return readyOnly ? rows.filter((row) => row.state === "READY") : rows;
  }

  /** RepositoryModelLoad: resolves once the model is as asked; a failure leaves what served before. Throws Triton's texts. */
  async load(name: string, parameters: RepositoryParameters): Promise<void> {
    const asked = parseLoadParameters(parameters);
    this.#checkControl();
    checkLoadName(name);
    const refresh = this.#options.placements?.refresh?.(name);
    if (refresh !== undefined) await refresh;
    await this.#change(async () => {
      let override: ActiveOverride | undefined;
      try {
        override = asked === undefined ? undefined : await this.#toOverride(name, asked);
      } catch (error) {
        this.#logFailure(name, InferenceError.from(error));
        throw unreadable(name);
      }
      const failures = await this.#models.load(new Map([[name, override]]), true);
      const failure = failures.get(name);
      for (const [other, { error }] of failures) this.#logFailure(other, error);
      if (failure?.kind === "unreadable") throw unreadable(name);
      if (failure !== undefined) throw failure.error;
    });
  }

  /** RepositoryModelUnload: resolves once no new request reaches the model. Unknown names are fine, as in Triton. */
  async unload(name: string, parameters: RepositoryParameters): Promise<void> {
    const withParts = parseUnloadParameters(parameters);
    this.#checkControl();
    if (this.#models.get(name) === undefined) return;
    await this.#change(() => this.#models.unload(name, withParts));
  }

  /**
   * Loads these models again where anything of them changed, as after another plan; models that are not served are left
   * alone. Resolves with those that could not be: what served before still does.
   */
  async reload(names: Iterable<string>): Promise<readonly LoadFailure[]> {
    if (this.#state === "closing") return [];
    const served = [...names].filter((name) => this.#models.get(name)?.ready().length);
    const failed = await this.#change(() => this.#loadAll(served));
    return [...failed].map(([name, { error }]) => ({ name, reason: error.message }));
  }

  /** Every version that answers. */
  *loaded(): Iterable<LoadedModel> {
    for (const entry of this.#models.all()) yield* entry.ready();
  }

  /** Ends polling, waits for loads under way, answers what is in hand and closes every model. */
  async close(): Promise<void> {
    this.#state = "closing";
    await this.#poller.stop();
    while (this.#changes.size > 0) await Promise.allSettled(this.#changes);
    await this.#models.close();
  }

  #namesToStart(listing: Listing): string[] {
    const { controlMode, loadModels } = this.#options;
    const isAll = controlMode !== "explicit" || (loadModels.length === 1 && loadModels[0] === ALL_MODELS);
    return isAll ? [...listing.models.keys()] : [...new Set(loadModels)];
  }

  /** Loads these models with what is on disk; those that cannot be read say so in the index. */
  async #loadAll(names: readonly string[]): Promise<ReadonlyMap<string, ModelFailure>> {
    const requests = new Map(names.map((name) => [name, undefined]));
    const failures = await this.#models.load(requests, this.#options.controlMode === "explicit");
    for (const [name, { kind, error }] of failures) {
      if (kind === "unreadable") this.#models.setProblem(name, error.message);
      this.#logFailure(name, error);
    }
    return failures;
  }

  async #applyPoll(load: readonly string[], unload: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#change(async () => {
      for (const name of unload) await this.#models.unload(name, false);
      return new Set((await this.#loadAll(load)).keys());
    });
  }

  /** A text per model that changes with its files. */
  async #scan(): Promise<Scan> {
    const { models } = await this.#parts.files.list(this.#options.repositories);
    const scan = new Map<string, string | undefined>();
    for (const [name, { directory, problem }] of models) {
      const found = await this.#parts.files.fingerprint(directory).catch(() => undefined);
      scan.set(name, found && JSON.stringify([problem, found.config, [...found.versions]]));
    }
    return scan;
  }

  async #toOverride(name: string, { config, files }: LoadOverride): Promise<ActiveOverride> {
    const id = this.#nextOverrideId++;
    if (files.size === 0) return { id, config, temporary: undefined };
    if (config === undefined) {
      const text = "Load parameter 'config' must be specified for model file override";
      throw new InferenceError("INVALID_ARGUMENT", text);
    }
    return { id, config, temporary: await writeTemporaryModel(name, files) };
  }

  #checkControl(): void {
    if (this.#options.controlMode !== "explicit") {
      const text = "explicit model load / unload is not allowed if polling is enabled";
      throw new InferenceError("UNAVAILABLE", text);
    }
    if (this.#state === "closing") throw new InferenceError("UNAVAILABLE", "Server exiting");
  }

  #logFailure(name: string, error: InferenceError): void {
    this.#options.log.error({ model: name, reason: error.message.trimEnd() }, `model '${name}' is not loaded`);
  }

  async #change<T>(work: () => Promise<T>): Promise<T> {
    const change = work();
    this.#changes.add(change);
    try {
      return await change;
    } finally {
      this.#changes.delete(change);
    }
  }
}

/** Triton tells the client only that; the reason is in the log. */
function unreadable(name: string): InferenceError {
  return new InferenceError("INTERNAL", `failed to load '${name}', failed to poll from model repository`);
}
