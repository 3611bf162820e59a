/** How long a run may take before its instance counts as hung: a multiple of what runs took so far. */

/** A run's limit is so many times the 99th percentile of the runs before it, but not less than the shortest limit. */
const TIMES_P99 = 10;
const SHORTEST_LIMIT_MS = 2_000;
const LONGEST_LIMIT_MS = 60_000;
/** Before so many runs the limit is the longest: the first runs of a session take longest. */
const RUNS_BEFORE_LIMIT = 20;
const RUNS_REMEMBERED = 256;
/** The percentile is looked up again after so many runs. */
const RUNS_PER_UPDATE = 16;

export interface RunStatistics {
  readonly runs: number;
  readonly p99Ms: number;
  /** Input bytes of the largest batch. */
  readonly largestBytes: number;
}

/**
 * Milliseconds that a run with so many input bytes may take: `configuredMs` where that is given. A batch larger than any
 * before gets proportionally more.
 */
export function runLimitMs(statistics: RunStatistics, inputBytes: number, configuredMs: number | undefined): number {
  if (configuredMs !== undefined) return configuredMs;
  const { runs, p99Ms, largestBytes } = statistics;
  if (runs < RUNS_BEFORE_LIMIT) return LONGEST_LIMIT_MS;
  const growth = Math.max(1, inputBytes / Math.max(1, largestBytes));
  return Math.min(LONGEST_LIMIT_MS, Math.max(SHORTEST_LIMIT_MS, TIMES_P99 * p99Ms * growth));
}

/** The last run times of an instance. */
export class RunTimes {
  readonly #latestMs = new Float64Array(RUNS_REMEMBERED);
  #runs = 0;
  #p99Ms = 0;
  #largestBytes = 0;

  get statistics(): RunStatistics {
    return { runs: this.#runs, p99Ms: this.#p99Ms, largestBytes: this.#largestBytes };
  }

  add(runMs: number, inputBytes: number): void {
    this.#latestMs[this.#runs++ % RUNS_REMEMBERED] = runMs;
    this.#largestBytes = Math.max(this.#largestBytes, inputBytes);
    if (this.#runs % RUNS_PER_UPDATE !== 0 && this.#runs !== RUNS_BEFORE_LIMIT) return;
    const sorted = this.#latestMs.slice(0, Math.min(this.#runs, RUNS_REMEMBERED)).sort();
    this.#p99Ms = sorted[Math.ceil(0.99 * sorted.length) - 1] ?? 0;
  }
}
