/** Logistic regression by iteratively reweighted least squares (Newton's method) with a ridge penalty. */
import { InferenceError } from "../../proto/errors.ts";

export interface LogisticFit {
  readonly weights: readonly number[];
  readonly intercept: number;
}

const MAX_STEPS = 100;
const MAX_HALVINGS = 40;
/** A Newton step that promises a smaller gain of the mean loss than this ends the search. */
const LEAST_GAIN = 1e-18;

/**
 * Minimises mean log loss + penalty * |weights|^2; the intercept is free. `features` is [rows, width]; rows with a NaN
 * are left out. Throws INVALID_ARGUMENT where all rows left have the same outcome: there is nothing to fit.
 */
export function fitLogistic(features: Float64Array, width: number, outcomes: Uint8Array, penalty: number): LogisticFit {
  const rows = usableRows(features, width, outcomes);
  const size = width + 1;
  let theta = new Float64Array(size); // the weights, then the intercept
  let loss = meanLoss(features, width, outcomes, rows, theta, penalty);
  for (let step = 0; step < MAX_STEPS; step++) {
    const { gradient, hessian } = derivatives(features, width, outcomes, rows, theta, penalty);
    const direction = solve(hessian, gradient, size);
    const gain = gradient.reduce((sum, g, i) => sum + g * (direction[i] ?? 0), 0);
    if (!(gain > LEAST_GAIN)) break;
    const next = descend(theta, direction, loss, (candidate) =>
      meanLoss(features, width, outcomes, rows, candidate, penalty),
    );
    if (next === undefined) break;
    theta = next.theta;
    loss = next.loss;
  }
  return { weights: [...theta.subarray(0, width)], intercept: theta[width] ?? 0 };
}

/** Halves the step until the loss falls; undefined where it cannot: the minimum, to rounding. */
function descend(
  theta: Float64Array<ArrayBuffer>,
  direction: Float64Array,
  loss: number,
  lossOf: (theta: Float64Array) => number,
) {
  let length = 1;
  for (let halving = 0; halving < MAX_HALVINGS; halving++) {
    const candidate = theta.map((value, i) => value - length * (direction[i] ?? 0));
    const candidateLoss = lossOf(candidate);
    if (candidateLoss < loss) return { theta: candidate, loss: candidateLoss };
    length /= 2;
  }
  return undefined;
}

function usableRows(features: Float64Array, width: number, outcomes: Uint8Array): Int32Array {
  const usable: number[] = [];
  let ones = 0;
  for (let row = 0; row < outcomes.length; row++) {
    let finite = true;
    for (let i = row * width; i < (row + 1) * width; i++) finite &&= Number.isFinite(features[i]);
    if (!finite) continue;
    usable.push(row);
    ones += outcomes[row] ?? 0;
  }
  if (ones > 0 && ones < usable.length) return Int32Array.from(usable);
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `of ${usable.length} rows with finite scores ${ones} are answered right: a confidence cannot be fitted without ` +
      "both right and wrong answers; give more rows or choose max_prob",
  );
}

function logitOf(features: Float64Array, width: number, row: number, theta: Float64Array): number {
  let sum = theta[width] as number; // theta is width + 1 long
  for (let i = 0; i < width; i++) sum += (theta[i] as number) * (features[row * width + i] as number); // in range
  return sum;
}

function meanLoss(
  features: Float64Array,
  width: number,
  outcomes: Uint8Array,
  rows: Int32Array,
  theta: Float64Array,
  penalty: number,
): number {
  let sum = 0;
  for (const row of rows) {
    const logit = logitOf(features, width, row, theta);
    const against = outcomes[row] === 1 ? -logit : logit;
    sum += Math.max(0, against) + Math.log1p(Math.exp(-Math.abs(against)));
  }
  const squares = theta.subarray(0, width).reduce((total, weight) => total + weight * weight, 0);
  return sum / rows.length + penalty * squares;
}

function derivatives(
  features: Float64Array,
  width: number,
  outcomes: Uint8Array,
  rows: Int32Array,
  theta: Float64Array,
  penalty: number,
) {
  const size = width + 1;
  const gradient = new Float64Array(size);
  const hessian = new Float64Array(size * size);
  const x = new Float64Array(size).fill(1); // the last stays 1, for the intercept
  for (const row of rows) {
    const p = 1 / (1 + Math.exp(-logitOf(features, width, row, theta)));
    const error = (p - (outcomes[row] as number)) / rows.length; // row is one of the outcomes
    const curvature = (p * (1 - p)) / rows.length;
    x.set(features.subarray(row * width, (row + 1) * width));
    for (let i = 0; i < size; i++) {
      gradient[i] = (gradient[i] as number) + error * (x[i] as number); // i and j are below size
      for (let j = 0; j <= i; j++) {
        const at = i * size + j;
        hessian[at] = (hessian[at] as number) + curvature * (x[i] as number) * (x[j] as number); // as above
      }
    }
  }
  for (let i = 0; i < width; i++) {
    gradient[i] = (gradient[i] as number) + 2 * penalty * (theta[i] as number); // i is below size
    hessian[i * size + i] = (hessian[i * size + i] as number) + 2 * penalty; // as above
  }
  return { gradient, hessian };
}

/** Solves H x = g by Cholesky; H is symmetric, its lower half given. A pivot of rounding noise is lifted above 0. */
function solve(hessian: Float64Array, g: Float64Array, size: number): Float64Array {
  const at = (i: number, j: number) => hessian[i * size + j] as number; // i and j are below size
  const factor = new Float64Array(size * size);
  const l = (i: number, j: number) => factor[i * size + j] as number; // as above
  let largest = 0;
  for (let i = 0; i < size; i++) largest = Math.max(largest, at(i, i));
  const x = Float64Array.from(g);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = at(i, j);
      for (let m = 0; m < j; m++) sum -= l(i, m) * l(j, m);
      factor[i * size + j] = i === j ? Math.sqrt(Math.max(sum, largest * 1e-14, 1e-300)) : sum / l(j, j);
    }
    let sum = x[i] as number; // i is below size, here and below
    for (let m = 0; m < i; m++) sum -= l(i, m) * (x[m] as number);
    x[i] = sum / l(i, i);
  }
  for (let i = size - 1; i >= 0; i--) {
    let sum = x[i] as number;
    for (let m = i + 1; m < size; m++) sum -= l(m, i) * (x[m] as number);
    x[i] = sum / l(i, i);
  }
  return x;
}
