/** When requests arrive: Poisson, Gamma distributed gaps, or a recorded trace scaled to a rate. */
import { InferenceError } from "../../proto/errors.ts";
import { normal } from "../cascade/random.ts";

export type ArrivalProcess =
  | { readonly process: "poisson" }
  /** `cv`: coefficient of variation of the gaps, above 0; 1 is Poisson. */
  | { readonly process: "gamma"; readonly cv: number }
  /** Recorded arrivals in ascending order. */
  | { readonly process: "trace"; readonly timesMs: ArrayLike<number> };

/**
 * Ascending times of `count` requests with this mean rate, the first one a gap after 0. A trace that is shorter than
 * `count` is played again. Throws INVALID_ARGUMENT where a trace does not ascend or is all at one time.
 */
export function arrivalTimesMs(
  arrivals: ArrivalProcess,
  ratePerSecond: number,
  count: number,
  random: () => number,
): Float64Array {
  const meanGapMs = 1000 / ratePerSecond;
  if (arrivals.process === "trace") return scaledTrace(arrivals.timesMs, meanGapMs, count);
  const gap = arrivals.process === "poisson" ? exponential(meanGapMs, random) : gamma(meanGapMs, arrivals.cv, random);
  const times = new Float64Array(count);
  let nowMs = 0;
  for (let i = 0; i < count; i++) {
    nowMs += gap();
    times[i] = nowMs;
  }
  return times;
}

function exponential(meanMs: number, random: () => number): () => number {
  return () => -meanMs * Math.log(1 - random());
}

/** Gaps of a Gamma distribution with shape 1 / cv^2. */
function gamma(meanMs: number, cv: number, random: () => number): () => number {
  const shape = 1 / (cv * cv);
  const scaleMs = meanMs / shape;
  return () => scaleMs * standardGamma(shape, random);
}

/** Marsaglia and Tsang, "A simple method for generating gamma variables", 2000; below shape 1 with their boost. */
function standardGamma(shape: number, random: () => number): number {
  if (shape < 1) return standardGamma(shape + 1, random) * (1 - random()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(random, 0, 1);
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    if (Math.log(1 - random()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

function scaledTrace(timesMs: ArrayLike<number>, meanGapMs: number, count: number): Float64Array {
  const recorded = timesMs.length;
  const firstMs = timesMs[0] ?? 0;
  const spanMs = (timesMs[recorded - 1] ?? 0) - firstMs;
  if (!(spanMs > 0)) {
    throw new InferenceError("INVALID_ARGUMENT", "a trace must hold at least two arrivals at different times");
  }
  const scale = (meanGapMs * (recorded - 1)) / spanMs;
  const times = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const place = i % recorded;
    const timeMs = timesMs[place] ?? 0;
    if (place > 0 && !(timeMs >= (timesMs[place - 1] ?? 0))) {
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `a trace must ascend; arrival ${place} is earlier than the one before`,
      );
    }
    const round = (i - place) / recorded;
    times[i] = meanGapMs + (timeMs - firstMs) * scale + round * recorded * meanGapMs;
  }
  return times;
}
