/** Temperature scaling: T* = argmin of the mean negative log likelihood of the labels (hybridserve.md 3.1). */
import { InferenceError } from "../../proto/errors.ts";
import type { LevelScores } from "./scores.ts";

/** ln T lies in [-3, 3]. */
const LEAST_S = Math.exp(-3);
const MOST_S = Math.exp(3);
const MAX_STEPS = 60;

/** Sums over rows at s = 1 / T. */
interface Likelihood {
  /** Mean negative log likelihood and its first two derivatives by s. */
  readonly loss: number;
  readonly slope: number;
  readonly curvature: number;
}

/**
 * The temperature in [e^-3, e^3] that makes the labels most likely. The loss is convex in s = 1 / T: Newton's method
 * on its slope, bisecting where a step would leave the bracket. Rows that are not finite are left out.
 * Throws INVALID_ARGUMENT for labels that are no classes.
 */
export function fitTemperature(scores: LevelScores, labels: Int32Array): number {
  let [low, high] = [LEAST_S, MOST_S];
  if (likelihood(scores, labels, low).slope >= 0) return 1 / low;
  if (likelihood(scores, labels, high).slope <= 0) return 1 / high;
  let s = 1;
  for (let step = 0; step < MAX_STEPS; step++) {
    const { slope, curvature } = likelihood(scores, labels, s);
    if (slope === 0) break;
    if (slope < 0) low = s;
    else high = s;
    const newton = s - slope / curvature;
    const next = newton > low && newton < high ? newton : (low + high) / 2;
    if (Math.abs(next - s) <= 1e-12 * s) break;
    s = next;
  }
  return 1 / s;
}

/** Mean negative log likelihood of the labels at a temperature. */
export function labelLoss(scores: LevelScores, labels: Int32Array, temperature: number): number {
  return likelihood(scores, labels, 1 / temperature).loss;
}

function likelihood(scores: LevelScores, labels: Int32Array, s: number): Likelihood {
  const { rows, classes, kind } = scores;
  const single = kind === "sigmoid" && classes === 1;
  const z = new Float64Array(classes);
  let [loss, slope, curvature, used] = [0, 0, 0, 0];
  for (let row = 0; row < rows; row++) {
    const label = labels[row] ?? -1;
    if (label < 0 || label >= (single ? 2 : classes)) {
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `label ${label} of row ${row} is no class: they are 0 to ${(single ? 2 : classes) - 1}`,
      );
    }
    if (!readLogits(scores, row, z)) continue;
    const of = kind === "sigmoid" ? sigmoidRow(z, single ? label - 1 : label, s) : softmaxRow(z, label, s);
    loss += of.loss;
    slope += of.slope;
    curvature += of.curvature;
    used++;
  }
  if (used === 0) throw new InferenceError("INVALID_ARGUMENT", "no row has finite scores: nothing to fit");
  return { loss: loss / used, slope: slope / used, curvature: curvature / used };
}

/** Scores as logits; false where they are not finite. A probability of 0 counts as 1e-30, whose logit is finite. */
function readLogits(scores: LevelScores, row: number, z: Float64Array): boolean {
  const { classes, kind, values } = scores;
  for (let j = 0; j < classes; j++) {
    const value = values[row * classes + j] as number; // row and j are in range
    if (!Number.isFinite(value)) return false;
    if (kind === "logits") z[j] = value;
    else if (kind === "probabilities") z[j] = Math.log(Math.max(1e-30, value));
    else z[j] = Math.log(Math.max(1e-30, value) / Math.max(1e-30, 1 - value));
  }
  return true;
}

function softmaxRow(z: Float64Array, label: number, s: number): Likelihood {
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of z) largest = Math.max(largest, value);
  let [sum, first, second] = [0, 0, 0];
  for (const value of z) {
    const distance = value - largest;
    const term = Math.exp(distance * s);
    if (term === 0) continue; // and so would be its moments, but for an infinite distance
    sum += term;
    first += term * distance;
    second += term * distance * distance;
  }
  const own = (z[label] as number) - largest; // label is a class
  const mean = first / sum;
  return { loss: Math.log(sum) - own * s, slope: mean - own, curvature: second / sum - mean * mean };
}

/** Independent yes/no outputs; `yes` is the one that is right, -1 for none. */
function sigmoidRow(z: Float64Array, yes: number, s: number): Likelihood {
  let [loss, slope, curvature] = [0, 0, 0];
  for (let j = 0; j < z.length; j++) {
    const value = z[j] as number; // in range
    const against = j === yes ? -value * s : value * s;
    const p = 1 / (1 + Math.exp(-value * s));
    loss += Math.max(0, against) + Math.log1p(Math.exp(-Math.abs(against)));
    slope += (p - (j === yes ? 1 : 0)) * value;
    curvature += p * (1 - p) * value * value;
  }
  return { loss, slope, curvature };
}
