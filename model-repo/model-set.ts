/**
 * All models in memory, and the loads and unloads that touch several of them: models made of models follow their parts.
 * Work on related models waits for each other; work on others goes ahead.
 */
import { InferenceError } from "../proto/errors.ts";
import { type DependencyGraph, orphans, transitiveUsers } from "./dependency-graph.ts";
import { UNLOADED } from "./lifecycle.ts";
import { Limiter } from "./limiter.ts";
import { type LoadPlan, planLoad } from "./load-plan.ts";
import { ModelCloser, type Retired } from "./model-closer.ts";
import { type ActiveOverride, type LoadedVersion, ModelEntry } from "./model-entry.ts";
import { type LoadOutcome, loadModelVersions, statusText } from "./model-load.ts";
import { type ModelSource, type RepositoryParts, readModelSource } from "./model-source.ts";
import { NameLocks } from "./name-locks.ts";
import type { Listing } from "./repository-files.ts";
import { VersionLoader, type VersionLoaderOptions } from "./version-loader.ts";

/** Why a model could not be loaded: unreadable before anything was tried, or refused by its backend. */
export interface ModelFailure {
  readonly kind: "unreadable" | "notLoaded";
  readonly error: InferenceError;
}

export class ModelSet {
  readonly #options: VersionLoaderOptions;
  readonly #parts: RepositoryParts;
  readonly #entries = new Map<string, ModelEntry>();
  readonly #locks = new NameLocks();
  readonly #reads = new Limiter(4);
  readonly #loader: VersionLoader;
  readonly #closer: ModelCloser;
  #warnedOfThreads = false;

  constructor(options: VersionLoaderOptions, parts: RepositoryParts) {
    this.#options = options;
    this.#parts = parts;
    this.#loader = new VersionLoader(options, parts);
    this.#closer = new ModelCloser(options.log);
  }

  get(name: string): ModelEntry | undefined {
    return this.#entries.get(name);
  }

  all(): Iterable<ModelEntry> {
    return this.#entries.values();
  }

  /** Marks a wanted model that cannot be read; without effect where a version is known. */
  setProblem(name: string, problem: string): void {
    const entry = this.#entry(name);
    entry.problem = problem;
    if (entry.intent === "none") entry.intent = "explicit";
  }

  /**
   * Loads these models as they are on disk, or as overridden; `undefined` keeps an override of an earlier load. Models
   * made of them follow. Never rejects for a model; resolves to what failed, which may include models not named here.
   */
  async load(
    requests: ReadonlyMap<string, ActiveOverride | undefined>,
    withParts: boolean,
  ): Promise<ReadonlyMap<string, ModelFailure>> {
    const failures = await this.#locked(new Set(requests.keys()), async (held) => {
      const plan = await this.#plan(requests, withParts);
      const needed = [
        ...plan.failures.keys(),
        ...plan.sources.flatMap((source) => [source.name, ...source.dependencies]), // no part may change meanwhile
      ];
      return needed.every((name) => held.has(name)) ? { done: await this.#carryOut(plan, requests) } : { needed };
    });
    for (const [name, override] of requests) {
      if (override !== this.#entries.get(name)?.override) await override?.temporary?.remove();
    }
    return failures;
  }

  /**
   * Stops serving a model and every model made of it; with `withParts` also what only it was made of. Resolves once no
   * new request reaches them; requests in hand finish later.
   */
  async unload(name: string, withParts: boolean): Promise<void> {
    await this.#locked(new Set([name]), async (held) => {
      const graph = this.#graph();
      const isKept = (part: string) => this.#entries.get(part)?.intent !== "implicit";
      const unwanted = new Set([name, ...(withParts ? orphans(graph, name, isKept) : [])]);
      const affected = [...unwanted, ...transitiveUsers(graph, unwanted)];
      if (!affected.every((other) => held.has(other))) return { needed: affected };
      this.#retireAll(affected, unwanted);
      return { done: undefined };
    });
  }

  /** Unloads everything and waits until it is closed. */
  async close(): Promise<void> {
    const names = new Set(this.#entries.keys());
    await this.#locked(names, async () => ({ done: this.#retireAll([...names], names) }));
    await this.#closer.idle();
  }

  /** Does work that finds out by itself which names it needs: it is begun anew until it holds them all. */
  async #locked<T>(
    names: ReadonlySet<string>,
    work: (held: ReadonlySet<string>) => Promise<{ done: T } | { needed: readonly string[] }>,
  ): Promise<T> {
    for (let held = names; ; ) {
      const release = await this.#locks.acquire(held);
      try {
        const result = await work(held);
        if ("done" in result) return result.done;
        held = new Set([...held, ...result.needed]);
      } finally {
        release();
      }
    }
  }

  /** What the wanted models are made of: by their files, and by what serves. */
  #graph(): DependencyGraph {
    const wanted = [...this.#entries.values()].filter((entry) => entry.intent !== "none");
    return new Map(wanted.map((entry) => [entry.name, [...entry.dependencies, ...entry.servedParts()]]));
  }

  async #plan(requests: ReadonlyMap<string, ActiveOverride | undefined>, withParts: boolean): Promise<LoadPlan> {
    let models: Listing["models"];
    try {
      models = (await this.#parts.files.list(this.#options.repositories)).models;
    } catch (error) {
      const reason = InferenceError.from(error);
      return { sources: [], failures: new Map([...requests.keys()].map((name) => [name, reason])) };
    }
    return planLoad({
      roots: requests.keys(),
      withParts,
      usersOf: (names) => transitiveUsers(this.#graph(), names),
      servedParts: (name) => this.#entries.get(name)?.servedParts() ?? [],
      read: (name) =>
        this.#reads.run(() => {
          const override = requests.get(name) ?? this.#entries.get(name)?.override;
          const listed = models.get(name);
          const directory = override?.temporary?.directory ?? listed?.directory;
          const problem = override?.temporary === undefined ? listed?.problem : undefined;
          if (problem !== undefined) throw new InferenceError("INVALID_ARGUMENT", problem);
          if (directory === undefined) {
            throw new InferenceError("NOT_FOUND", `model '${name}' is in none of the model repositories`);
          }
          return readModelSource(name, directory, override, this.#options, this.#parts);
        }),
    });
  }

  /** Loads every model of the plan after its parts, in parallel where they are independent. */
  async #carryOut(
    plan: LoadPlan,
    requests: ReadonlyMap<string, ActiveOverride | undefined>,
  ): Promise<ReadonlyMap<string, ModelFailure>> {
    const failures = new Map<string, ModelFailure>();
    for (const [name, error] of plan.failures) failures.set(name, { kind: "unreadable", error });
    for (const source of plan.sources) {
      const entry = this.#entry(source.name);
      if (requests.has(source.name)) entry.intent = "explicit";
      else if (entry.intent === "none") entry.intent = "implicit";
      entry.dependencies = source.dependencies;
      entry.problem = undefined;
    }
    const tasks = new Map<string, Promise<LoadOutcome>>();
    const replaced: Retired[] = [];
    for (const source of plan.sources) {
      // Parts that come later in the order, which only a cycle with what serves can bring, are not waited for.
      const before = [...source.dependencies, ...this.#entry(source.name).servedParts()].map((part) => tasks.get(part));
      const task = async (): Promise<LoadOutcome> => {
        const parts = await Promise.all(before);
        const outcome = await this.#loadModel(source, requests.has(source.name), parts, failures);
        if (outcome.failure !== undefined) failures.set(source.name, { kind: "notLoaded", error: outcome.failure });
        return outcome;
      };
      tasks.set(source.name, task());
    }
    for (const source of plan.sources) {
      const entry = this.#entry(source.name);
      const outcome = await tasks.get(source.name);
      const reason = outcome?.failure === undefined ? UNLOADED : statusText(outcome.failure);
      for (const loaded of outcome?.retired ?? []) replaced.push({ entry, loaded, reason });
      if (outcome?.failure === undefined && source.override !== entry.override) this.#replaceOverride(entry, source);
    }
    this.#closer.close([...replaced, ...this.#retireStranded(failures)]);
    this.#warnOfThreads();
    return failures;
  }

  /** Versions that run on one which serves no more, and could not follow: their models cannot be read, for example. */
  #retireStranded(failures: ReadonlyMap<string, ModelFailure>): Retired[] {
    const stranded: Retired[] = [];
    for (let found = -1; found !== stranded.length; ) {
      found = stranded.length;
      for (const entry of this.#entries.values()) {
        const error = failures.get(entry.name)?.error ?? new InferenceError("UNAVAILABLE", "a part of it was replaced");
        for (const loaded of this.#retireOutdated(entry)) {
          stranded.push({ entry, loaded, reason: statusText(error) });
        }
      }
    }
    return stranded;
  }

  /** Stops serving the versions of a model that run on one which serves no more. */
  #retireOutdated(entry: ModelEntry): LoadedVersion[] {
    const serves = (part: LoadedVersion) => this.#entries.get(part.name)?.find(part.version) === part;
    const outdated = entry.ready().filter(({ parts }) => ![...parts].every(serves));
    for (const loaded of outdated) entry.retire(loaded);
    return outdated;
  }

  async #loadModel(
    source: ModelSource,
    isRequested: boolean,
    parts: readonly (LoadOutcome | undefined)[],
    failures: ReadonlyMap<string, ModelFailure>,
  ): Promise<LoadOutcome> {
    const entry = this.#entry(source.name);
    const partsChanged = parts.some((part) => part?.hasChanged === true);
    const missing = source.dependencies.find((part) => this.#entries.get(part)?.find("") === undefined);
    if (missing === undefined) {
      const outcome = await loadModelVersions(entry, source, partsChanged, (version) =>
        this.#loader.load(source, version),
      );
      if (outcome.failure === undefined || !partsChanged) return outcome;
      return { ...outcome, hasChanged: true, retired: [...outcome.retired, ...retireReady(entry)] };
    }
    const retired = this.#retireOutdated(entry);
    if (!isRequested && retired.length === 0) return { hasChanged: false, retired, failure: undefined };
    const why = failures.get(missing)?.error.message;
    const failure = new InferenceError(
      "INVALID_ARGUMENT",
      `load failed for model '${source.name}': model '${source.name}' depends on '${missing}' which has no loaded version.` +
        (why === undefined ? "" : ` Model '${missing}' loading failed with error: ${why}`),
    );
    for (const version of source.wanted) entry.notLoaded(version, statusText(failure));
    return { hasChanged: retired.length > 0, retired, failure };
  }

  /** Stops serving these models; the unwanted ones also lose their override. */
  #retireAll(names: readonly string[], unwanted: ReadonlySet<string>): void {
    const closings: Retired[] = [];
    for (const name of names) {
      const entry = this.#entries.get(name);
      if (entry === undefined) continue;
      const retired = retireReady(entry);
      if (retired.length > 0) this.#options.log.info({ model: name }, `unloading: ${name}`);
      for (const loaded of retired) closings.push({ entry, loaded, reason: UNLOADED });
      if (unwanted.has(name)) entry.forget();
    }
    this.#closer.close(closings);
    for (const name of unwanted) {
      const entry = this.#entries.get(name);
      if (entry !== undefined) this.#replaceOverride(entry, { override: undefined });
    }
  }

  /** The files of the override before are removed once nothing runs on them. */
  #replaceOverride(entry: ModelEntry, { override }: Pick<ModelSource, "override">): void {
    const temporary = entry.override?.temporary;
    entry.override = override;
    if (temporary !== undefined) this.#closer.afterwards(() => temporary.remove());
  }

  #warnOfThreads(): void {
    const { coreCount, log } = this.#options;
    let threads = 0;
    for (const entry of this.#entries.values()) for (const loaded of entry.ready()) threads += loaded.threads;
    if (threads <= coreCount || this.#warnedOfThreads) return;
    this.#warnedOfThreads = true;
    log.warn(
      { threads, cores: coreCount },
      `the models' instances have ${threads} threads for ${coreCount} cores: under load they slow each other down; ` +
        "lower instance_group counts or intra_op_thread_count, or serve fewer models",
    );
  }

  #entry(name: string): ModelEntry {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = new ModelEntry(name);
      this.#entries.set(name, entry);
    }
    return entry;
  }
}

function retireReady(entry: ModelEntry): LoadedVersion[] {
  const ready = entry.ready();
  for (const loaded of ready) entry.retire(loaded);
  return ready;
}
