/** Fits the parameters of confidence functions to recorded scores of split D1 (hybridserve.md 3.1). */
import { InferenceError } from "../../proto/errors.ts";
import { clippedLogit, topkFeatureCount, topkFeatures } from "../../scheduler/confidence/class-functions.ts";
import { fitIsotonic } from "./isotonic.ts";
import { fitLogistic } from "./logistic.ts";
import { applyConfidence, type FittedConfidence, type LevelScores, scoresTensor } from "./scores.ts";
import { fitTemperature } from "./temperature.ts";

const PLATT_PENALTY = 1e-6;
/** Of the standardised weights: neighbouring ln p are nearly collinear. */
const TOPK_PENALTY = 1e-4;
const MOST_TOPK = 10;
/** The prototype's. */
const BINS = 100;

/** What is known of the rows that a function is fitted on; arrays are one element a row. */
export interface FitData {
  readonly scores: LevelScores;
  /** 1 where the level's answer is right. */
  readonly correct: Uint8Array;
  /** Right classes; only `temperature` needs them. */
  readonly labels?: Int32Array | undefined;
  /** 1 where the last level's answer is right; only `benefit` needs them. */
  readonly lastCorrect?: Uint8Array | undefined;
}

/** Functions that `fitConfidence` takes: those of one class distribution a row. */
export const FITTED_FUNCTIONS = [
  "max_prob",
  "margin",
  "entropy",
  "temperature",
  "platt",
  "platt_bin",
  "isotonic",
  "logistic_topk",
  "benefit",
] as const;

/**
 * The function with its fitted parameters; those that have none come back as they are. Throws INVALID_ARGUMENT for
 * functions that are not fitted, data that is missing, or rows that are all right or all wrong.
 */
export function fitConfidence(name: string, data: FitData): FittedConfidence {
  const { scores, correct } = data;
  checkRows(data);
  const fitted = (params: FittedConfidence["params"]) => ({ function: name, kind: scores.kind, params });
  switch (name) {
    case "max_prob":
    case "margin":
    case "entropy":
      return fitted({});
    case "temperature":
      return fitted({ temperature: fitTemperature(scores, needed(data.labels, name, "labels")) });
    case "platt":
      return fitted(fitPlatt(scores, correct));
    case "platt_bin":
      return fitted(fitPlattBin(scores, correct));
    case "isotonic": {
      const { x, y } = fitIsotonic(maxProbabilities(scores), correct);
      if (x.length === 0) throw new InferenceError("INVALID_ARGUMENT", "no row has finite scores: nothing to fit");
      return fitted({ x, y });
    }
    case "logistic_topk": {
      const { features, ...shared } = standardisedFeatures(scores);
      const head = fitLogistic(features, shared.mean.length, correct, TOPK_PENALTY);
      return fitted({ ...shared, weights: head.weights, intercept: head.intercept });
    }
    case "benefit": {
      const { features, ...shared } = standardisedFeatures(scores);
      const lastCorrect = needed(data.lastCorrect, name, "the last level's answers");
      const head = fitLogistic(features, shared.mean.length, correct, TOPK_PENALTY);
      const last = fitLogistic(features, shared.mean.length, lastCorrect, TOPK_PENALTY);
      return fitted({
        ...shared,
        weightsThis: head.weights,
        interceptThis: head.intercept,
        weightsLast: last.weights,
        interceptLast: last.intercept,
      });
    }
    default:
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `confidence function '${name}' is not fitted to recorded class scores; these are: ${FITTED_FUNCTIONS.join(", ")}`,
      );
  }
}

/** Logistic regression of *correct?* on logit(max_prob), penalty 1e-6 alpha^2 on the mean loss. */
function fitPlatt(scores: LevelScores, correct: Uint8Array): { readonly alpha: number; readonly beta: number } {
  const logits = maxProbabilities(scores).map((m) => (Number.isNaN(m) ? m : clippedLogit(m)));
  const { weights, intercept } = fitLogistic(logits, 1, correct, PLATT_PENALTY);
  return { alpha: weights[0] ?? 0, beta: intercept };
}

/** Platt, then the mean of Platt's values in each of up to 100 bins of equally many rows (Kumar et al. 2019). */
function fitPlattBin(scores: LevelScores, correct: Uint8Array): FittedConfidence["params"] {
  const platt = fitPlatt(scores, correct);
  const q = applyConfidence({ function: "platt", kind: scores.kind, params: { ...platt } }, scores);
  const sorted = q.filter((value) => !Number.isNaN(value)).sort();
  const cuts = Array.from({ length: BINS - 1 }, (_, i) => sorted[Math.floor(((i + 1) * sorted.length) / BINS)] ?? 1);
  const edges = [...new Set(cuts)].filter((edge) => edge > (sorted[0] ?? 0)); // equal values share a bin: none is empty
  const starts = [0, ...edges.map((edge) => sorted.findIndex((value) => value >= edge)), sorted.length];
  const values = starts.slice(1).map((end, bin) => meanOf(sorted.subarray(starts[bin], end)));
  return { ...platt, edges, values };
}

/** Within 0..1 for values that are: rounding of the sum does not count. */
function meanOf(values: Float64Array): number {
  return Math.min(1, values.reduce((sum, value) => sum + value, 0) / values.length);
}

/** phi of every row with mean 0 and standard deviation 1 in each column; k = min(10, classes). */
function standardisedFeatures(scores: LevelScores) {
  const k = Math.min(MOST_TOPK, scores.classes);
  const features = topkFeatures(scores.kind, k, scoresTensor(scores), scores.rows);
  const width = topkFeatureCount(k);
  const mean: number[] = [];
  const scale: number[] = [];
  for (let column = 0; column < width; column++) {
    let [sum, squares, used] = [0, 0, 0];
    for (let at = column; at < features.length; at += width) {
      const value = features[at] ?? Number.NaN; // in range
      if (Number.isNaN(value)) continue;
      used++;
      const delta = value - sum / Math.max(1, used - 1);
      sum += value;
      squares += delta * (value - sum / used);
    }
    const deviation = Math.sqrt(squares / Math.max(1, used));
    mean.push(used === 0 ? 0 : sum / used);
    scale.push(deviation > 1e-9 ? deviation : 1); // a constant column, but for rounding, stays 0
    for (let at = column; at < features.length; at += width) {
      features[at] = ((features[at] ?? Number.NaN) - (mean[column] ?? 0)) / (scale[column] ?? 1); // just pushed
    }
  }
  return { features, k, mean, scale };
}

function maxProbabilities(scores: LevelScores): Float64Array {
  return applyConfidence({ function: "max_prob", kind: scores.kind, params: {} }, scores);
}

function needed<T>(value: T | undefined, name: string, what: string): T {
  if (value !== undefined) return value;
  throw new InferenceError("INVALID_ARGUMENT", `confidence function '${name}' needs ${what} to be fitted`);
}

function checkRows({ scores, correct, labels, lastCorrect }: FitData): void {
  const { rows, classes, values } = scores;
  const fits = [correct, labels, lastCorrect].every((known) => known === undefined || known.length === rows);
  if (fits && values.length === rows * classes) return;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `${values.length} scores are not ${rows} rows of ${classes} classes with one label each`,
  );
}
