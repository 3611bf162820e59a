/** Confidence functions of one class distribution a row (formulas: hybridserve.md 3.1). */

import { InferenceError } from "../../proto/errors.ts";
import type { ScoreKind } from "../../proto/files/cascade-file.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { readFloats } from "./floats.ts";
import type { Params } from "./params.ts";
import { RowScores } from "./row-scores.ts";

/** How a row's scores are read, and its confidence from them. */
export interface ClassFunction {
  readonly temperature: number;
  /** How many of the largest scores `of` looks at; rows with fewer classes are refused. */
  readonly largest: number;
  readonly withEntropy: boolean;
  readonly of: (row: RowScores) => number;
}

/** Prepares each function from its parameters; they throw INVALID_ARGUMENT for wrong ones. */
export const CLASS_FUNCTIONS: Readonly<Record<string, (params: Params) => ClassFunction>> = {
  max_prob: (params) => ofMaxProb(params.temperature(1), (m) => m),
  temperature: (params) => ofMaxProb(params.temperature(), (m) => m),
  margin: (params) => {
    return { temperature: params.temperature(1), largest: 1, withEntropy: false, of: (row) => row.margin };
  },
  entropy: (params) => {
    return { temperature: params.temperature(1), largest: 1, withEntropy: true, of: (row) => row.certainty };
  },
  platt: (params) => ofMaxProb(params.temperature(1), plattMap(params)),
  platt_bin: (params) => {
    const platt = plattMap(params);
    const edges = params.list("edges");
    const values = params.list("values", edges.length + 1);
    if (!ascends(edges, false)) throw params.misfit("parameter 'edges' must not descend");
    if (!values.every(isShare)) throw params.misfit("parameter 'values' must lie in 0..1");
    return ofMaxProb(params.temperature(1), (m) => values[countUpTo(edges, platt(m))] ?? Number.NaN);
  },
  isotonic: (params) => {
    const x = params.list("x");
    const y = params.list("y", x.length);
    if (x.length === 0 || !ascends(x, true)) throw params.misfit("parameter 'x' must be ascending numbers");
    if (!ascends(y, false) || !y.every(isShare)) throw params.misfit("parameter 'y' must not descend, within 0..1");
    return ofMaxProb(params.temperature(1), (m) => interpolate(x, y, m));
  },
  logistic_topk: (params) => {
    const { k, phi, mean, scale } = topkParams(params);
    const head = logisticHead(params, "weights", "intercept", mean, scale);
    return { temperature: 1, largest: k, withEntropy: true, of: (row) => head(fillTopkFeatures(row, k, phi, 0)) };
  },
  benefit: (params) => {
    const { k, phi, mean, scale } = topkParams(params);
    const gThis = logisticHead(params, "weightsThis", "interceptThis", mean, scale);
    const gLast = logisticHead(params, "weightsLast", "interceptLast", mean, scale);
    const of = (row: RowScores): number => {
      fillTopkFeatures(row, k, phi, 0);
      return 1 - Math.max(0, gLast(phi) - gThis(phi));
    };
    return { temperature: 1, largest: k, withEntropy: true, of };
  },
};

/** Applies a function to every row of a tensor [rows, classes]; NaN where a row's scores are not finite. */
export function classConfidences(f: ClassFunction, kind: ScoreKind, scores: Tensor, rows: number): Float64Array {
  const values = readFloats(scores);
  const classes = classesOf(scores, values.length, rows, f.largest);
  const row = new RowScores(kind, f.temperature, f.largest, f.withEntropy);
  const confidences = new Float64Array(rows);
  for (let i = 0; i < rows; i++) confidences[i] = row.read(values, i * classes, classes) ? f.of(row) : Number.NaN;
  return confidences;
}

/** Features a row of `topkFeatures` has. */
export function topkFeatureCount(k: number): number {
  return k + 3;
}

/** phi of every row, [rows, k + 3]: what the logistic functions are fitted on. NaN where scores are not finite. */
export function topkFeatures(kind: ScoreKind, k: number, scores: Tensor, rows: number): Float64Array {
  const values = readFloats(scores);
  const classes = classesOf(scores, values.length, rows, k);
  const row = new RowScores(kind, 1, k, true);
  const width = topkFeatureCount(k);
  const features = new Float64Array(rows * width).fill(Number.NaN);
  for (let i = 0; i < rows; i++) {
    if (row.read(values, i * classes, classes)) fillTopkFeatures(row, k, features, i * width);
  }
  return features;
}

/** phi = (ln p_(1) .. ln p_(k), margin, entropy form, logsumexp(z)), written to features[start ..]. */
function fillTopkFeatures(row: RowScores, k: number, features: Float64Array, start: number): Float64Array {
  for (let i = 0; i < k; i++) features[start + i] = row.logProbability(i);
  features[start + k] = row.margin;
  features[start + k + 1] = row.certainty;
  features[start + k + 2] = row.logSumExp;
  return features;
}

function ofMaxProb(temperature: number, map: (m: number) => number): ClassFunction {
  return { temperature, largest: 1, withEntropy: false, of: (row) => map(row.maxProbability) };
}

/** ln(m / (1 - m)) with m clipped to [1e-12, 1 - 1e-12]. */
export function clippedLogit(m: number): number {
  const clipped = Math.min(1 - 1e-12, Math.max(1e-12, m));
  return Math.log(clipped / (1 - clipped));
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function plattMap(params: Params): (m: number) => number {
  const alpha = params.number("alpha");
  const beta = params.number("beta");
  return (m) => sigmoid(alpha * clippedLogit(m) + beta);
}

function topkParams(params: Params) {
  const k = params.number("k");
  if (!Number.isInteger(k) || k < 1) throw params.misfit("parameter 'k' must be a whole number of 1 or more");
  const phi = new Float64Array(topkFeatureCount(k)); // filled anew for every row
  const mean = params.list("mean", phi.length);
  const scale = params.list("scale", phi.length);
  if (!scale.every((value) => value > 0)) throw params.misfit("parameter 'scale' must be numbers above 0");
  return { k, phi, mean, scale };
}

/** sigmoid(w . (phi - mean) / scale + b). */
function logisticHead(params: Params, weightsName: string, bName: string, mean: Float64Array, scale: Float64Array) {
  const weights = params.list(weightsName, mean.length);
  const slopes = weights.map((weight, i) => weight / (scale[i] ?? 1)); // same length
  const intercept = params.number(bName);
  return (phi: Float64Array): number => {
    let sum = intercept;
    for (let i = 0; i < slopes.length; i++) {
      sum += (slopes[i] as number) * ((phi[i] as number) - (mean[i] as number)); // all of one length
    }
    return sigmoid(sum);
  };
}

function classesOf(scores: Tensor, elements: number, rows: number, atLeast: number): number {
  if (rows === 0) return 0;
  const classes = elements / rows;
  if (Number.isInteger(classes) && classes >= atLeast) return classes;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `tensor '${scores.name}' of shape [${scores.shape}] does not hold ${rows} rows of ${atLeast} or more scores`,
  );
}

function ascends(values: Float64Array, strictly: boolean): boolean {
  return values.every(
    (value, i) => i === 0 || (strictly ? value > (values[i - 1] ?? value) : value >= (values[i - 1] ?? value)),
  );
}

function isShare(value: number): boolean {
  return value >= 0 && value <= 1;
}

/** How many of the ascending `edges` are <= value. */
function countUpTo(edges: Float64Array, value: number): number {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((edges[middle] as number) <= value)
      low = middle + 1; // middle is below edges.length
    else high = middle;
  }
  return low;
}

/** Straight lines between the knots, flat outside them. */
function interpolate(x: Float64Array, y: Float64Array, value: number): number {
  const right = countUpTo(x, value);
  const [x0, y0] = [x[right - 1], y[right - 1]];
  const [x1, y1] = [x[right], y[right]];
  if (x0 === undefined || y0 === undefined) return y1 ?? Number.NaN;
  if (x1 === undefined || y1 === undefined) return y0;
  return y0 + ((y1 - y0) * (value - x0)) / (x1 - x0);
}
