/** Recorded scores of one level, and confidence functions applied to them as the server does it. */
import type { ConfidenceFunction, ScoreKind } from "../../proto/files/cascade-file.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { confidenceOf } from "../../scheduler/confidence/confidence.ts";

/** Row-major [rows, classes]. */
export interface LevelScores {
  readonly values: Float32Array | Float64Array;
  readonly rows: number;
  readonly classes: number;
  readonly kind: ScoreKind;
}

/** A function with its parameters; only the names of the level's tensors are missing. */
export type FittedConfidence = Omit<ConfidenceFunction, "outputs">;

/** A view of the scores as the tensor that a level would answer. */
export function scoresTensor(scores: LevelScores): Tensor {
  const { values } = scores;
  return {
    name: "scores",
    datatype: values instanceof Float32Array ? "FP32" : "FP64",
    shape: [scores.rows, scores.classes],
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  };
}

/** The confidence of every row, by the functions of the server; NaN where scores are not finite. */
export function applyConfidence(fitted: FittedConfidence, scores: LevelScores): Float64Array {
  const tensor = scoresTensor(scores);
  return confidenceOf({ ...fitted, outputs: { scores: tensor.name } })(() => tensor, scores.rows);
}
