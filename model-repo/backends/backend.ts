/** What a backend is: how a version directory becomes a running model. */
import type { Clock } from "../../scheduler/clock.ts";
import type { Model } from "../../scheduler/model.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
import type { Log } from "../log.ts";
import type { ModelPlacement } from "../plan/placement.ts";
import type { SharedBreakers } from "./breaker-registry.ts";

/** `--backend-config=<backend>,<key>=<value>`: settings by backend name; the name "" holds for all backends. */
export type BackendConfig = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Everything a backend may use to load one version of a model. */
export interface LoadContext {
  readonly resolved: ResolvedConfig;
  readonly version: string;
  /** `<repository>/<model>/<version>`, absolute. */
  readonly versionDirectory: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Queue bound of models whose config sets none; 0: no bound. */
  readonly maxQueuedRequests: number;
  readonly backendConfig: BackendConfig;
  /** Where a plan puts this version; absent: instances as the configuration says. */
  readonly placement?: ModelPlacement | undefined;
  /**
   * A plan wrote the cascade's operating point and gears into `resolved`: unlike the configuration's own words they are no
   * consent to points without a certificate. `isPointNamed`: the configuration names the plan's point too.
   */
  readonly plannedCascade?: { readonly isPointNamed: boolean } | undefined;
  /** `--allow-uncertified`: cascades may use operating points without a valid certificate. */
  readonly allowUncertified: boolean;
  /** Cores that a model's execution threads may use together. */
  readonly coreCount: number;
  /** Tells how many threads this version's runs keep busy at most; the repository warns when all models exceed the cores. */
  claimThreads(count: number): void;
  /**
   * A loaded model, for models made of models; version "" is the highest that is ready. Throws NOT_FOUND or
   * UNAVAILABLE as `ModelRepository.lookup` does.
   */
  lookup(name: string, version: string): Model;
  /** Version directory of a loaded model, "" chosen as by `lookup`; absent where nobody asks for files of others. */
  directoryOf?(name: string, version: string): string;
  /** Of the remote endpoints that this repository's models use; absent: the model is alone. */
  readonly breakers?: SharedBreakers;
  /**
   * Tells what to do at the moment that the loaded model takes the place of `before`, which answered for this version:
   * go on with its state. Absent where nothing is replaced.
   */
  onTakeOver?(takeOver: (before: Model) => void): void;
  /** Only checks the files: the levels that `lookup` gives have signatures and answer nothing. */
  readonly offline?: boolean;
}

/** Loads one version; rejects with an InferenceError that says why, and leaves nothing running then. */
export type LoadModel = (context: LoadContext) => Promise<Model>;

export interface Backend {
  readonly load: LoadModel;
  /** Names of the models that must be loaded before this one; absent: it stands alone. */
  dependencies?(versionDirectory: string): Promise<string[]>;
}
