/**
 * What the planner asks onnxruntime about a model, as messages to a child process: it blocks while it works, takes
 * memory that only the end of a process gives back, and may be stopped at any time. One job a process.
 */
import type { ErrorCode } from "../../proto/errors.ts";
import type { GraphTensorType } from "../../proto/onnx/graph.ts";
import type { Tensor } from "../../proto/tensor.ts";

export type OptimizationLevel = "disabled" | "basic" | "extended" | "all";

/** A model file and how to open it. */
export interface GraphFile {
  readonly modelPath: string;
  /** Directory that paths of external data are relative to; the model's own by default. */
  readonly externalDataDirectory?: string;
}

export interface OptimiseJob extends GraphFile {
  readonly kind: "optimise";
  readonly outputPath: string;
  /** `all` would save layouts of this very processor. */
  readonly level: "basic" | "extended";
  /** File beside the output that takes all weights of 1 KiB and more; without it they are inside as they were. */
  readonly weightsFile?: string;
}

export interface TypesJob extends GraphFile {
  readonly kind: "types";
  readonly names: readonly string[];
  /** Every input of the model for one run. */
  readonly feed: readonly Tensor[];
}

export interface ProfileJob extends GraphFile {
  readonly kind: "profile";
  readonly feed: readonly Tensor[];
  /** Runs before those that count. */
  readonly warmUpRuns: number;
  readonly runs: number;
  readonly threads: number;
}

export interface CompareJob {
  readonly kind: "compare";
  readonly whole: GraphFile & { readonly level: OptimizationLevel };
  /** In order; a stage takes what it names from the request and from the stages before it. */
  readonly stages: readonly GraphFile[];
  readonly stageLevel: OptimizationLevel;
  readonly feed: readonly Tensor[];
}

export type GraphJob = OptimiseJob | TypesJob | ProfileJob | CompareJob;

/** Answer to each kind of job. */
export interface GraphJobResults {
  readonly optimise: Record<never, never>;
  readonly types: TypesResult;
  readonly profile: ProfileResult;
  readonly compare: CompareResult;
}

export interface TypesResult {
  readonly types: ReadonlyMap<string, GraphTensorType>;
  /** Bytes of each tensor in the run; BYTES with their length prefixes. */
  readonly bytes: ReadonlyMap<string, number>;
  /** Tensors that the binding cannot hand out: sequences and element types it does not know. */
  readonly unpassable: ReadonlySet<string>;
}

export interface ProfileResult {
  /** Median milliseconds of each node of the file, in file order; undefined where the runtime runs nothing for it. */
  readonly nodeMs: readonly (number | undefined)[];
  /** Median milliseconds of whole runs, their overhead and profiling included. */
  readonly runMs: number;
}

export interface CompareResult {
  /** What the whole model answers. */
  readonly expected: readonly Tensor[];
  readonly outputs: readonly OutputDifference[];
}

export interface OutputDifference {
  readonly name: string;
  readonly isBitIdentical: boolean;
  /** Largest difference of two elements; Infinity where shapes, NaN or what is no float differs. */
  readonly maxAbs: number;
}

/** To the child: the one message. */
export interface GraphRequest {
  readonly job: GraphJob;
  /** For files of the job; removed after it. */
  readonly scratchDirectory: string;
}

/** From the child: the one answer before it ends. */
export type GraphReply =
  | { readonly ok: true; readonly result: GraphJobResults[keyof GraphJobResults] }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };
