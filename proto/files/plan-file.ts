/**
 * plan.json: which models run where, in how many stages and batches, for which workload, and what is expected of it.
 * Files it names lie beside it; times are milliseconds, rates rows a second unless a name says otherwise.
 */
import type { DataType } from "../datatypes.ts";
import type { Device, DeviceClass, Links } from "./devices-file.ts";
import type { Arrivals, LatencyObjective } from "./workload-file.ts";

export const PLAN_FORMAT_VERSION = 1;

export const PLAN_OBJECTIVES = ["throughput", "energy"] as const;
export type PlanObjective = (typeof PLAN_OBJECTIVES)[number];

export const PLAN_ALGORITHMS = ["exact-homogeneous", "milp-aggregated", "milp-device", "greedy"] as const;
export type PlanAlgorithm = (typeof PLAN_ALGORITHMS)[number];

export interface PlanFile {
  readonly createdAt: string;
  readonly objective: PlanObjective;
  readonly provenance: PlanProvenance;
  readonly workload: PlannedWorkload;
  /** The cascade whose levels these models are; null: the models are served by themselves. */
  readonly cascade: PlannedCascade | null;
  /** Classes and devices that the placements use, and the links between them. */
  readonly classes: readonly DeviceClass[];
  readonly devices: readonly Device[];
  readonly links: Links;
  readonly models: readonly PlannedModel[];
  readonly stages: readonly PlannedStage[];
  readonly placements: readonly Placement[];
  readonly gears: readonly Gear[];
  readonly prediction: Prediction;
  readonly explanation: Explanation;
}

/** What the plan was computed from; hashes are `sha256:<hex>` over the canonical JSON of the files. */
export interface PlanProvenance {
  readonly version: string;
  /** As typed, to make the plan anew. */
  readonly command: string;
  readonly algorithm: PlanAlgorithm;
  readonly seed: number;
  /** (bound - value) / bound that the solver proved; null: a heuristic without a bound. */
  readonly optimalityGap: number | null;
  readonly solverMs: number;
  /** The solver's time limit ended it: the same input may give another plan next time. */
  readonly isTimeLimited: boolean;
  readonly profileHash: string;
  readonly devicesHash: string;
  readonly workloadHash: string;
  readonly onnxruntime: string;
  readonly node: string;
  readonly providers: readonly string[];
}

export interface PlannedWorkload {
  /** Requests a second. */
  readonly rate: number;
  readonly arrivals: Arrivals;
  readonly rowsPerRequest: number;
  readonly slo: LatencyObjective;
  readonly reach: readonly number[];
  readonly paths: readonly (readonly number[])[];
  readonly shadowShare: number;
  /** No device is busier than this share of the time. */
  readonly utilisationCap: number;
}

export interface PlannedCascade {
  readonly name: string;
  readonly version: string;
  readonly operatingPoint: string;
}

export interface PlannedModel {
  readonly name: string;
  readonly version: string;
  readonly level: number;
  readonly modelHash: string;
  /** Share of all rows that enter the model, shadows included. */
  readonly reach: number;
  /** Ids of its stages, first to last; one: the model is not cut. */
  readonly stages: readonly string[];
  readonly batch: PlannedBatch;
  /** Weights that the stage files refer to, in their directory; null: inside the files, or not cut. */
  readonly weights: FileReference | null;
  /** Staged against whole model, measured at plan time; null: not cut. */
  readonly numerics: Numerics | null;
}

/** Becomes the model's dynamic batching. */
export interface PlannedBatch {
  readonly max: number;
  readonly preferred: readonly number[];
  readonly maxQueueDelayUs: number;
}

export interface Numerics {
  /** Largest difference allowed at boot; 0: bit-identical. */
  readonly maxAbsDifference: number;
  /** .npz with arrays `input:<name>` and the whole model's `output:<name>`. */
  readonly golden: FileReference;
}

export interface FileReference {
  /** Relative to plan.json. */
  readonly path: string;
  readonly hash: string;
}

export interface PlannedStage {
  readonly id: string;
  readonly model: string;
  readonly index: number;
  /** null: the model's own file. */
  readonly file: FileReference | null;
  /** Nodes [from, to) of the optimised graph's dynamic nodes; null: all. */
  readonly cut: { readonly fromNode: number; readonly toNode: number } | null;
  /** Empty where the stage is the whole model. */
  readonly inputs: readonly StageTensor[];
  readonly outputs: readonly StageTensor[];
  /** The graph was optimised before it was cut: a session must not optimise it further than this. */
  readonly graphOptimizationLevel: "disabled" | "basic" | "extended" | "all";
  readonly weightBytes: number;
  readonly peakBytes: number;
  readonly serviceMs: readonly StageService[];
  readonly expected: ExpectedLoad;
}

export interface StageTensor {
  readonly name: string;
  readonly datatype: DataType;
  /** As the stage file has it, batch dimension included; -1: any size. */
  readonly shape: readonly number[];
  /** "" for the request's own input, else the id of the stage that makes it. */
  readonly from: string;
}

/** Mean milliseconds by batch size on one class of devices. */
export interface StageService {
  readonly class: string;
  readonly batchSizes: readonly number[];
  readonly meanMs: readonly number[];
}

export interface ExpectedLoad {
  readonly rowsPerSecond: number;
  readonly utilisation: number;
  readonly meanBatch: number;
}

/** One copy of a stage on a device: an instance of the server. */
export interface Placement {
  readonly stage: string;
  readonly replica: number;
  readonly device: string;
  readonly share: number;
  readonly intraOpThreads: number;
}

/** Up to this rate the loaded placement serves this operating point within the objective, at the least energy. */
export interface Gear {
  readonly operatingPoint: string;
  /** Requests a second, the end excluded. */
  readonly fromRate: number;
  readonly toRate: number;
  readonly joulesPerRequest: number | null;
}

export interface Prediction {
  /** Requests a second that the placement takes within the objective. */
  readonly throughput: number;
  readonly latencyMs: { readonly mean: number; readonly p50: number; readonly p95: number; readonly p99: number };
  /** Share of the requests within the latency objective. */
  readonly goodput: number;
  /** null: the power of some class is not known. */
  readonly watts: number | null;
  readonly joulesPerRequest: number | null;
  readonly energySource: string;
  readonly simulatedRequests: number;
}

/** The plan in words: for its report and for whoever reads the file. */
export interface Explanation {
  /** What keeps the plan from more: `memory of class a`, `latency objective` ... with the figures. */
  readonly binding: readonly string[];
  /** By placement, same order: why it is there. */
  readonly placements: readonly string[];
  /** What one more device of each class would bring. */
  readonly oneMoreDevice: readonly { readonly class: string; readonly gain: string }[];
}
