/** Loads single versions, a bounded number at a time, and tries failed ones again as often as asked. */
import { join } from "node:path";
import { InferenceError } from "../proto/errors.ts";
import type { Model } from "../scheduler/model.ts";
import type { LoadContext } from "./backends/backend.ts";
import { SharedBreakers } from "./backends/breaker-registry.ts";
import { Limiter } from "./limiter.ts";
import type { LoadedVersion } from "./model-entry.ts";
import type { ModelSource, RepositoryParts } from "./model-source.ts";
import { applyPlacement } from "./plan/apply-placement.ts";
import type { RepositoryOptions } from "./repository-types.ts";

export interface VersionLoaderOptions extends RepositoryOptions {
  /** Cores for the threads of one model's instances, and for all models together before a warning. */
  readonly coreCount: number;
  /** The version that answers for a name, for models made of models; throws Triton's lookup texts. */
  find(name: string, version: string): LoadedVersion;
}

export class VersionLoader {
  readonly #options: VersionLoaderOptions;
  readonly #load: RepositoryParts["load"];
  readonly #slots: Limiter;
  readonly #breakers: SharedBreakers;

  constructor(options: VersionLoaderOptions, parts: RepositoryParts) {
    this.#options = options;
    this.#load = parts.load;
    this.#slots = new Limiter(options.loadThreadCount);
    this.#breakers = new SharedBreakers(options.clock);
  }

  /** Rejects with the backend's reason, which is also logged. */
  load(source: ModelSource, version: number): Promise<LoadedVersion> {
    return this.#slots.run(async () => {
      const { clock, log, loadRetryCount } = this.#options;
      const { name, resolved } = source;
      const { labels } = resolved;
      const fields = { model: name, version };
      log.info(fields, `loading: ${name}:${version}`);
      for (const warning of resolved.warnings) log.warn(fields, `model '${name}': ${warning}`);
      const startedMs = clock.now();
      const told: Told = { threads: 0, parts: new Set(), takeOver: undefined };
      const context = this.#context(source, version, told);
      let model: Model;
      try {
        model = await withRetries(loadRetryCount, () => this.#load(context));
      } catch (error) {
        const reason = InferenceError.from(error).message;
        log.error({ ...fields, reason }, `failed to load '${name}' version ${version}: ${reason}`);
        throw error;
      }
      const loadSeconds = (clock.now() - startedMs) / 1000;
      log.info({ ...fields, loadSeconds }, `successfully loaded '${name}' version ${version}`);
      const fingerprint = source.fingerprintOf(version);
      const { config } = context.resolved;
      return {
        name,
        version: String(version),
        number: version,
        directory: context.versionDirectory,
        model,
        config,
        labels,
        loadSeconds,
        fingerprint,
        ...told,
      };
    });
  }

  #context(source: ModelSource, version: number, told: Told): LoadContext {
    const { clock, log, maxQueuedRequests, backendConfig, allowUncertified, coreCount, find } = this.#options;
    const { resolved } = source;
    const placement = source.placements.get(version);
    return {
      resolved:
        placement === undefined ? resolved : { ...resolved, config: applyPlacement(resolved.config, placement) },
      placement,
      version: String(version),
      versionDirectory: join(source.directory, String(version)),
      clock,
      log,
      maxQueuedRequests,
      backendConfig,
      plannedCascade: source.plannedCascade,
      allowUncertified,
      coreCount,
      claimThreads: (count) => {
        told.threads = count;
      },
      breakers: this.#breakers,
      lookup: (name, version) => {
        const part = find(name, version);
        told.parts.add(part);
        return part.model;
      },
      directoryOf: (name, version) => find(name, version).directory,
      onTakeOver: (takeOver) => {
        told.takeOver = takeOver;
      },
    };
  }
}

/** What a backend tells while it loads. */
interface Told {
  threads: number;
  readonly parts: Set<LoadedVersion>;
  takeOver: LoadedVersion["takeOver"];
}

async function withRetries(retries: number, load: () => Promise<Model>): Promise<Model> {
  for (let left = retries; ; left--) {
    try {
      return await load();
    } catch (error) {
      if (left <= 0) throw error;
    }
  }
}
