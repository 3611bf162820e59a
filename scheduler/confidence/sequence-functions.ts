/** Confidence functions of rows that are sequences of token distributions, or two distributions over positions. */
import { InferenceError } from "../../proto/errors.ts";
import type { ScoreKind } from "../../proto/files/cascade-file.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { CLASS_FUNCTIONS, classConfidences, clippedLogit, sigmoid } from "./class-functions.ts";
import { readFloats, readMask } from "./floats.ts";
import type { Params } from "./params.ts";
import { RowScores } from "./row-scores.ts";

/** One number from the max_prob of a row's `count` tokens, tokens[0 .. count). May reorder them. */
type TokenSummary = (tokens: Float64Array, count: number) => number;

/** Prepares each summary from the parameters of its function. */
export const TOKEN_SUMMARIES: Readonly<Record<string, (params: Params) => TokenSummary>> = {
  min_token: () => smallest,
  mean_log: () => geometricMean,
  quantile: (params) => {
    const r = params.number("r");
    if (!(r >= 0 && r <= 1)) throw params.misfit("parameter 'r' must lie in 0..1");
    return (tokens, count) => {
      tokens.fill(Number.POSITIVE_INFINITY, count);
      tokens.sort();
      return tokens[Math.max(1, Math.ceil(r * count)) - 1] ?? Number.NaN; // nearest rank: r = 0 is the smallest
    };
  },
};

/** The confidence of each row of token scores [rows, tokens, classes]; `mask` [rows, tokens] is 0 at tokens that do not count. */
export type SequenceConfidence = (scores: Tensor, mask: Tensor | undefined, rows: number) => Float64Array;

/**
 * A summary of the tokens' max_prob, which falls with length; fitted parameters even that out and calibrate:
 * q = sigmoid(alpha logit(summary) + beta + length ln(tokens)), where tokens are those that count; without them the
 * summary itself. NaN where a token that counts is not finite or no token counts.
 */
export function sequenceConfidence(name: string, kind: ScoreKind, params: Params): SequenceConfidence | undefined {
  const summary = TOKEN_SUMMARIES[name]?.(params);
  if (summary === undefined) return undefined;
  const temperature = params.temperature(1);
  const map = sequenceMap(params);
  return (scores, mask, rows) => {
    const values = readFloats(scores);
    const classes = scores.shape.at(-1) ?? 1;
    const tokens = tokensOf(scores, values.length, classes, rows);
    const counts = mask === undefined ? undefined : maskOf(mask, rows * tokens);
    const row = new RowScores(kind, temperature);
    const probabilities = new Float64Array(tokens);
    const confidences = new Float64Array(rows);
    for (let i = 0; i < rows; i++) {
      let count = 0;
      let finite = true;
      for (let token = i * tokens; token < (i + 1) * tokens && finite; token++) {
        if (counts?.[token] === 0) continue;
        finite = row.read(values, token * classes, classes);
        probabilities[count++] = row.maxProbability;
      }
      confidences[i] = finite && count > 0 ? map(summary(probabilities, count), count) : Number.NaN;
    }
    return confidences;
  };
}

/** min(q_start, q_end), each the max_prob over positions [rows, positions]. */
export function spanConfidence(kind: ScoreKind, params: Params) {
  const maxProb = CLASS_FUNCTIONS["max_prob"]?.(params);
  if (maxProb === undefined) throw new InferenceError("INTERNAL", "there is no max_prob");
  return (start: Tensor, end: Tensor, rows: number): Float64Array => {
    const ends = classConfidences(maxProb, kind, end, rows);
    const starts = classConfidences(maxProb, kind, start, rows);
    return starts.map((q, i) => Math.min(q, ends[i] as number)); // one of each a row; NaN where either is
  };
}

/** What the model itself emits, [rows] or [rows, 1], brought to 0..1; a logit through the sigmoid. NaN if not finite. */
export function modelOutput(kind: ScoreKind, scores: Tensor, rows: number): Float64Array {
  const values = readFloats(scores);
  if (values.length !== rows) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `tensor '${scores.name}' of shape [${scores.shape}] is no model_output: it must hold one number for each of ` +
        `${rows} rows`,
    );
  }
  const confidences = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    const value = values[i] as number; // in range
    const share = kind === "logits" ? sigmoid(value) : Math.min(1, Math.max(0, value));
    confidences[i] = Number.isFinite(value) ? share : Number.NaN;
  }
  return confidences;
}

function smallest(tokens: Float64Array, count: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < count; i++) least = Math.min(least, tokens[i] as number); // count is at most the length
  return least;
}

/** exp(mean ln p). */
function geometricMean(tokens: Float64Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.log(tokens[i] as number); // as above
  return Math.exp(sum / count);
}

function sequenceMap(params: Params): (q: number, tokens: number) => number {
  const alpha = params.number("alpha", 1);
  const beta = params.number("beta", 0);
  const length = params.number("length", 0);
  if (alpha === 1 && beta === 0 && length === 0) return (q) => q; // clipping would tie the surest rows
  return (q, tokens) => sigmoid(alpha * clippedLogit(q) + beta + length * Math.log(tokens));
}

/** Tokens a row of scores [rows, tokens, classes], padding included; throws INVALID_ARGUMENT for other shapes. */
export function tokensOf(scores: Tensor, elements: number, classes: number, rows: number): number {
  if (rows === 0) return 0;
  const tokens = elements / (classes * rows);
  if (scores.shape.length >= 3 && Number.isInteger(tokens)) return tokens;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `tensor '${scores.name}' of shape [${scores.shape}] does not hold [${rows} rows, tokens, classes]`,
  );
}

/** The mask's elements, one a token; throws INVALID_ARGUMENT where there are not that many. */
export function maskOf(mask: Tensor, tokens: number): ArrayLike<number> {
  const values = readMask(mask);
  if (values.length === tokens) return values;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `mask '${mask.name}' of shape [${mask.shape}] does not fit the scores: it must hold one element a token, ${tokens}`,
  );
}
