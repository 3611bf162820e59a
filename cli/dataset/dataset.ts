/** Labelled data as calibration uses it, whatever file it came from. */
import type { Labels } from "../../planner/cascade/level-answers.ts";
import type { DataType } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { TensorSpec } from "../../scheduler/signature.ts";

export interface DatasetOptions {
  /** The cascade's inputs, dims without the batch dimension; -1 is any size. */
  readonly inputs: readonly TensorSpec[];
  /** The output that holds the scores: where perf_analyzer's validation data names the right answer. */
  readonly scores: TensorSpec;
  /** Number of classes: labels are 0..classes-1; null where that is not known. */
  readonly classes: number | null;
  /** Names of the classes, for labels given as texts. */
  readonly labelNames: readonly string[] | null;
  /** Factor on whole-number elements that become floating-point inputs; null: 1/255 for images, else 1. */
  readonly scale: number | null;
  /** File of labels of an IDX file of images; null: the one beside it. */
  readonly labelsFile: string | null;
  /** Array (.npz) or column (labels.csv) of groups that splits keep together; null: `groups` where it is there. */
  readonly groupBy: string | null;
  /** How many levels recorded outputs must have; null: any number from two. */
  readonly levels: number | null;
}

interface Labelled {
  readonly rows: number;
  readonly labels: Labels;
  /** Group of each row. */
  readonly groups: readonly string[] | null;
}

/** Rows to run through the levels. */
export interface InputsDataset extends Labelled {
  readonly kind: "inputs";
  /** One tensor [rows, ...dims] for each of the cascade's inputs, in its datatype. */
  readonly inputs: readonly Tensor[];
  /** The rows as pictures, where they are any. */
  readonly images: Images | null;
}

/** What levels said that ran elsewhere. */
export interface RecordedDataset extends Labelled {
  readonly kind: "recorded";
  /** Scores of each level, FP16, FP32 or FP64: [rows, classes] or [rows, tokens, classes]. */
  readonly levels: readonly Tensor[];
  /** [rows, tokens]: 0 where a token does not count; null: all count. */
  readonly mask: Uint8Array | null;
}

export type Dataset = InputsDataset | RecordedDataset;

/** Pictures of a data set, for a reader of its report. */
export interface Images {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** 0..255, [rows, channels, height, width]. */
  readonly pixels: Uint8Array;
}

/** Most bytes of one data set in memory. */
export const MAX_DATASET_BYTES = 2 ** 31;

/** `FP32 [rows, 1, 28, 28]`, as complaints describe an input. */
export function describeShape(datatype: DataType, dims: readonly number[]): string {
  return `${datatype} [${["rows", ...dims.map((dim) => (dim === -1 ? "any" : dim))].join(", ")}]`;
}

/** A complaint about the user's data. */
export function badData(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}

/** Whether a shape is one row of an input with these dims. */
export function shapeFits(shape: readonly number[], dims: readonly number[]): boolean {
  return shape.length === dims.length && dims.every((dim, i) => dim === -1 || dim === shape[i]);
}
