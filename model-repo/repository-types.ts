/** What goes into a model repository and what it tells about itself. */
import type { InferenceError } from "../proto/errors.ts";
import type { Clock } from "../scheduler/clock.ts";
import type { Model } from "../scheduler/model.ts";
import type { BackendConfig } from "./backends/backend.ts";
import type { ModelConfig } from "./config/model-config.ts";
import type { Log } from "./log.ts";
import type { PlacementSource } from "./plan/placement.ts";

/** `--model-control-mode`. */
export type ControlMode = "none" | "explicit" | "poll";

export interface RepositoryOptions {
  /** Directories that hold model directories. */
  readonly repositories: readonly string[];
  readonly controlMode: ControlMode;
  /** Seconds between the end of one poll and the start of the next. */
  readonly pollSeconds: number;
  /** Models to load at the start in explicit mode; `["*"]`: all. */
  readonly loadModels: readonly string[];
  /** `--model-config-name`: `configs/<name>.pbtxt` instead of config.pbtxt where it exists. */
  readonly configName?: string;
  /** Derive missing parts of a configuration from the ONNX file. */
  readonly autoComplete: boolean;
  readonly backendConfig: BackendConfig;
  /** Versions that load at the same time. */
  readonly loadThreadCount: number;
  /** How often a failed load of a version is tried again. */
  readonly loadRetryCount: number;
  /** Cascades may use operating points without a valid certificate. */
  readonly allowUncertified: boolean;
  /** Lets a poll unload more than half of the models at once. */
  readonly allowMassUnload: boolean;
  /** Queue bound of models whose config sets none; 0: no bound. */
  readonly maxQueuedRequests: number;
  /** `--plan`: where the instances of the models run; absent: as their configurations say. */
  readonly placements?: PlacementSource;
  readonly clock: Clock;
  readonly log: Log;
}

/** `ModelIndex.state`; "" for a model that was never loaded. */
export type IndexState = "" | "READY" | "UNAVAILABLE" | "LOADING" | "UNLOADING";

/** One row of RepositoryIndex and of the start-up table. */
export interface IndexEntry {
  readonly name: string;
  /** "" where no version is known. */
  readonly version: string;
  readonly state: IndexState;
  /** `unloaded`, the load error, or "". */
  readonly reason: string;
}

/** A version that answers requests. */
export interface LoadedModel {
  readonly name: string;
  readonly version: string;
  readonly model: Model;
  readonly config: ModelConfig;
  /** Class labels by output name. */
  readonly labels: ReadonlyMap<string, readonly string[]>;
  readonly loadSeconds: number;
}

export interface LoadFailure {
  readonly name: string;
  readonly reason: string;
}

/** How the start went; a failure here stops the server under `--exit-on-error`. */
export interface StartReport {
  /** Every model and version, sorted as RepositoryIndex. */
  readonly entries: readonly IndexEntry[];
  /** Models that should have loaded and did not. */
  readonly failures: readonly LoadFailure[];
  /** A repository that cannot be read: nothing was loaded, the server is neither live nor ready. */
  readonly repositoryError?: InferenceError;
}

/** Value of a `ModelRepositoryParameter` of a load or unload request. */
export type RepositoryParameter =
  | { readonly kind: "bool"; readonly value: boolean }
  | { readonly kind: "int64"; readonly value: bigint }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "bytes"; readonly value: Uint8Array };

export type RepositoryParameters = ReadonlyMap<string, RepositoryParameter>;
