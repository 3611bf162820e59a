/** Percentiles and histograms of simulated times. */

/** Buckets of a doubling of the value: a value lies at most 1 / 64 of its size from its bucket's middle. */
const BUCKETS_PER_OCTAVE = 32;
/** Exponents that times have: 2^-40 to 2^40 ms; smaller ones count as 0. */
const LEAST_EXPONENT = -40;
const OCTAVES = 80;

/** A sketch of non-negative values in buckets of constant relative width; counts are exact, values within 1.6 %. */
export class LogHistogram {
  readonly #counts = new Float64Array(OCTAVES * BUCKETS_PER_OCTAVE + 1);
  readonly #double = new Float64Array(1);
  readonly #words = new Uint32Array(this.#double.buffer);
  #count = 0;
  #sum = 0;

  add(value: number): void {
    this.#count++;
    this.#sum += value;
    const bucket = this.#bucket(value);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
  }

  get count(): number {
    return this.#count;
  }

  /** Exact; 0 of nothing. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /** The middle of the bucket of the nearest-rank percentile; 0 of nothing. */
  percentile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let passed = 0;
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      passed += this.#counts[bucket] ?? 0;
      if (passed >= rank) return bucket === 0 ? 0 : (lowEnd(bucket) + lowEnd(bucket + 1)) / 2;
    }
    return 0;
  }

  /** Exponent and leading bits of the double are the bucket: no logarithm. */
  #bucket(value: number): number {
    this.#double[0] = value;
    const high = this.#words[1] ?? 0;
    const exponent = (high >>> 20) - 1023;
    if (exponent < LEAST_EXPONENT) return 0;
    const step = (high >>> 15) & (BUCKETS_PER_OCTAVE - 1);
    return Math.min((exponent - LEAST_EXPONENT) * BUCKETS_PER_OCTAVE + step + 1, this.#counts.length - 1);
  }
}

function lowEnd(bucket: number): number {
  const step = (bucket - 1) % BUCKETS_PER_OCTAVE;
  return 2 ** (LEAST_EXPONENT + Math.floor((bucket - 1) / BUCKETS_PER_OCTAVE)) * (1 + step / BUCKETS_PER_OCTAVE);
}

/** Exact nearest-rank percentiles of finite values, which are reordered; NaN of nothing. `shares` must ascend. */
export function percentiles(values: Float64Array, shares: readonly number[]): number[] {
  let from = 0;
  return shares.map((share) => {
    const rank = Math.max(1, Math.ceil(share * values.length)) - 1;
    if (values.length === 0) return Number.NaN;
    partition(values, from, rank);
    from = rank;
    return values[rank] ?? Number.NaN;
  });
}

/** Hoare's selection: afterwards values[rank] is in its sorted place and nothing from `from` on before it is larger. */
function partition(values: Float64Array, from: number, rank: number): void {
  let left = from;
  let right = values.length - 1;
  while (left < right) {
    const pivot = values[rank] ?? 0;
    let i = left;
    let j = right;
    do {
      while ((values[i] ?? 0) < pivot) i++;
      while ((values[j] ?? 0) > pivot) j--;
      if (i <= j) {
        const swapped = values[i] ?? 0;
        values[i++] = values[j] ?? 0;
        values[j--] = swapped;
      }
    } while (i <= j);
    if (j < rank) left = i;
    if (i > rank) right = j;
  }
}

export interface HistogramBar {
  readonly fromMs: number;
  readonly toMs: number;
  readonly count: number;
}

/** Bars of equal width from 0 on; the last one holds all that is longer. */
export function histogram(values: Float64Array, bars: number, lastFromMs: number): HistogramBar[] {
  const widthMs = lastFromMs / (bars - 1);
  const counts = new Array<number>(bars).fill(0);
  let longest = lastFromMs;
  for (const value of values) {
    const bar = Math.min(bars - 1, Math.floor(value / widthMs));
    counts[bar] = (counts[bar] ?? 0) + 1;
    if (value > longest) longest = value;
  }
  return counts.map((count, i) => ({ fromMs: i * widthMs, toMs: i === bars - 1 ? longest : (i + 1) * widthMs, count }));
}
