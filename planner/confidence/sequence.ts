/** Fits the confidence of sequences of token distributions: the summary falls with length, which a feature undoes. */
import { InferenceError } from "../../proto/errors.ts";
import type { ScoreKind } from "../../proto/files/cascade-file.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { clippedLogit } from "../../scheduler/confidence/class-functions.ts";
import { confidenceOf } from "../../scheduler/confidence/confidence.ts";
import { maskOf, TOKEN_SUMMARIES, tokensOf } from "../../scheduler/confidence/sequence-functions.ts";
import { fitLogistic } from "./logistic.ts";
import type { FittedConfidence } from "./scores.ts";

const PENALTY = 1e-6;

/** Recorded token scores of one level. */
export interface SequenceScores {
  /** [rows, tokens, classes], FP16, FP32 or FP64. */
  readonly scores: Tensor;
  /** [rows, tokens], 0 at tokens that do not count; undefined: all count. */
  readonly mask: Tensor | undefined;
  readonly rows: number;
  readonly kind: ScoreKind;
}

/**
 * Logistic regression of *correct?* (1 = the whole sequence is right) on logit(summary) and ln(tokens). `params` go
 * into the summary (`r` of quantile, `temperature`). Throws INVALID_ARGUMENT for functions of other scores and for rows
 * that are all right or all wrong.
 */
export function fitSequence(
  name: string,
  recorded: SequenceScores,
  correct: Uint8Array,
  params: FittedConfidence["params"] = {},
): FittedConfidence {
  const names = Object.keys(TOKEN_SUMMARIES);
  if (!names.includes(name)) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `'${name}' is no function of token scores; these are: ${names.join(", ")}`,
    );
  }
  if (correct.length !== recorded.rows) {
    throw new InferenceError("INVALID_ARGUMENT", `${correct.length} labels do not fit ${recorded.rows} sequences`);
  }
  const plain = { function: name, kind: recorded.kind, params };
  const summaries = applySequence(plain, recorded);
  const counts = countTokens(recorded);
  const features = new Float64Array(2 * recorded.rows);
  summaries.forEach((q, row) => {
    features[2 * row] = Number.isNaN(q) ? q : clippedLogit(q);
    features[2 * row + 1] = Math.log(counts[row] ?? 0);
  });
  const { weights, intercept } = fitLogistic(features, 2, correct, PENALTY);
  return { ...plain, params: { ...params, alpha: weights[0] ?? 1, beta: intercept, length: weights[1] ?? 0 } };
}

/** The confidence of every sequence, by the functions of the server; NaN where scores are not finite. */
export function applySequence(fitted: FittedConfidence, { scores, mask, rows }: SequenceScores): Float64Array {
  const outputs = mask === undefined ? { scores: scores.name } : { scores: scores.name, mask: mask.name };
  return confidenceOf({ ...fitted, outputs })((role) => (role === "mask" ? (mask ?? scores) : scores), rows);
}

/** Tokens of each row that count. */
function countTokens({ scores, mask, rows }: SequenceScores): Float64Array {
  const elements = scores.shape.reduce((product, dim) => product * dim, 1);
  const tokens = tokensOf(scores, elements, scores.shape.at(-1) ?? 1, rows);
  const counts = new Float64Array(rows).fill(tokens);
  if (mask === undefined) return counts;
  const elementsOfMask = maskOf(mask, rows * tokens);
  counts.fill(0);
  for (let i = 0; i < elementsOfMask.length; i++) {
    const row = Math.floor(i / tokens);
    if (elementsOfMask[i] !== 0) counts[row] = (counts[row] ?? 0) + 1;
  }
  return counts;
}
