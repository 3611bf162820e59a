/** What calibration and profiling need of whoever can run a model; model-repo and remote servers implement it. */
import type { Tensor } from "../proto/tensor.ts";
import type { ModelSignature } from "../scheduler/signature.ts";

/** One run over some rows of a model's inputs. */
export interface RunRows {
  /** The asked outputs, `rows` rows each, in the order asked. */
  readonly outputs: readonly Tensor[];
  /** What the rows cost together, in the runtime's `costUnit`. */
  readonly cost: number;
}

export interface Runtime {
  /** Unit of `RunRows.cost`, as `cascade.json` names it: `cpuSeconds`, `seconds`. */
  readonly costUnit: string;
  /** How the cost came about, for the reader of a report. */
  readonly costSource: string;
  /** What a model takes and gives; throws NOT_FOUND or UNAVAILABLE, "" is the version that answers. */
  signature(model: string, version: string): ModelSignature;
  /** `sha256:...` of what computes the model's answers; "" where that is not known. */
  levelHash(model: string, version: string): Promise<string>;
  /** Runs all rows of `inputs` (named as the model's inputs, the first dimension counts rows). */
  run(model: string, version: string, inputs: readonly Tensor[], outputs: readonly string[]): Promise<RunRows>;
  close(): Promise<void>;
}
