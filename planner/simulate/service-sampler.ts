/** Draws service times of batches from measured samples. */
import type { ServiceTimes } from "../fleet.ts";

/** Where between two measured sizes a batch lies. */
interface Place {
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** Weight of `high`. */
  readonly weight: number;
  /** Beyond the largest size: the cost per row stays what it is there. */
  readonly factor: number;
}

/**
 * Times of one stage on one class of devices for batches of 1 to `maxRows` rows. A batch between two measured sizes
 * takes the same quantile of both, interpolated, so that the mean is `meanServiceMs`.
 */
export class ServiceSampler {
  /** By rows; undefined where a size has several samples. */
  readonly #constantMs: Float64Array | undefined;
  readonly #places: readonly Place[];
  readonly #random: () => number;

  constructor(times: ServiceTimes, maxRows: number, random: () => number) {
    const samples = times.samplesMs.map((one) => Float64Array.from(one).sort());
    this.#places = Array.from({ length: maxRows + 1 }, (_, rows) => placeOf(times.batchSizes, samples, rows));
    this.#random = random;
    this.#constantMs = samples.every((one) => one.length === 1)
      ? Float64Array.from(this.#places, (place) => at(place, 0))
      : undefined;
  }

  /** Milliseconds of one batch. */
  draw(rows: number): number {
    if (this.#constantMs !== undefined) return this.#constantMs[rows] ?? 0;
    const place = this.#places[rows];
    return place === undefined ? 0 : at(place, this.#random());
  }
}

function at({ low, high, weight, factor }: Place, quantile: number): number {
  const highMs = high[Math.floor(quantile * high.length)] ?? 0;
  if (weight === 1) return highMs * factor;
  const lowMs = low[Math.floor(quantile * low.length)] ?? 0;
  return lowMs + (highMs - lowMs) * weight;
}

function placeOf(sizes: readonly number[], samples: readonly Float64Array[], rows: number): Place {
  const above = sizes.findIndex((size) => size >= rows);
  const last = sizes.length - 1;
  const index = above < 0 ? last : above;
  const high = samples[index] ?? NONE;
  if (above < 0) return { low: high, high, weight: 1, factor: rows / (sizes[last] ?? 1) };
  if (above === 0) return { low: high, high, weight: 1, factor: 1 };
  const lowRows = sizes[above - 1] ?? 0;
  const weight = (rows - lowRows) / ((sizes[above] ?? rows) - lowRows);
  return { low: samples[above - 1] ?? NONE, high, weight, factor: 1 };
}

const NONE = new Float64Array(1);
