/** How sure a level is of each row, computed from its score tensor. */
import { InferenceError } from "../../proto/errors.ts";
import type { ConfidenceFunction, ScoreKind } from "../../proto/files/cascade-file.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { readFloats } from "./floats.ts";

/** Fills `confidences` with one value in 0..1 a row; NaN where a row's scores are not finite numbers. */
export type Confidence = (scores: Tensor, rows: number) => Float64Array;

/** The functions that `confidenceOf` knows. */
export const CONFIDENCE_FUNCTIONS = ["max_prob"] as const;

/** Prepares a configured function; throws INVALID_ARGUMENT for one that is unknown or has wrong parameters. */
export function confidenceOf(configured: ConfidenceFunction): Confidence {
  const known: readonly string[] = CONFIDENCE_FUNCTIONS;
  if (!known.includes(configured.function)) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `confidence function '${configured.function}' is not served yet; served: ${known.join(", ")}`,
    );
  }
  for (const name of Object.keys(configured.params)) {
    if (name !== "temperature") {
      throw new InferenceError("INVALID_ARGUMENT", `confidence function 'max_prob' has no parameter '${name}'`);
    }
  }
  const temperature = configured.params["temperature"] ?? 1;
  if (typeof temperature !== "number" || !(temperature > 0)) {
    throw new InferenceError("INVALID_ARGUMENT", "confidence parameter 'temperature' must be a number above 0");
  }
  const { kind } = configured;
  return (scores, rows) => maxProbabilities(scores, rows, kind, temperature);
}

/**
 * max_prob of every row: max_j softmax(z / T)_j. Probabilities count as logits ln p; for sigmoid outputs, which do not
 * sum to one, it is the largest of them, and of p and 1 - p where there is only one.
 */
function maxProbabilities(scores: Tensor, rows: number, kind: ScoreKind, temperature: number): Float64Array {
  const values = readFloats(scores);
  const classes = rows === 0 ? 0 : values.length / rows;
  const confidences = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const start = row * classes;
    confidences[row] =
      kind === "sigmoid"
        ? maxSigmoid(values, start, classes, temperature)
        : maxSoftmax(values, start, classes, temperature, kind === "probabilities");
  }
  return confidences;
}

function maxSoftmax(values: ArrayLike<number>, start: number, classes: number, t: number, areProbabilities: boolean) {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = start; i < start + classes; i++) {
    const value = values[i] as number; // start + classes lies within the tensor
    if (!Number.isFinite(value)) return Number.NaN;
    if (value > largest) largest = value;
  }
  if (areProbabilities && largest <= 0) return Number.NaN;
  let sum = 0;
  for (let i = start; i < start + classes; i++) {
    const value = values[i] as number; // as above
    sum += areProbabilities ? (Math.max(0, value) / largest) ** (1 / t) : Math.exp((value - largest) / t);
  }
  return 1 / sum;
}

function maxSigmoid(values: ArrayLike<number>, start: number, classes: number, t: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = start; i < start + classes; i++) {
    const p = values[i] as number; // start + classes lies within the tensor
    if (!Number.isFinite(p)) return Number.NaN;
    if (p > largest) largest = p;
  }
  const side = classes === 1 ? Math.max(largest, 1 - largest) : largest;
  if (t === 1 || side <= 0 || side >= 1) return Math.min(1, Math.max(0, side));
  return 1 / (1 + ((1 - side) / side) ** (1 / t));
}
