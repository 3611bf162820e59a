/** What a cascade did and saved: plain counters, read at scrape. */
import type { CascadeLevel } from "../../proto/files/cascade-file.ts";

/** Equal bins of confidence over 0..1. */
export const CONFIDENCE_BINS = 20;

/**
 * Why a row left a level: its confidence, far too low a confidence (a skip cut or the hopeless band), scores that were
 * no finite numbers, a deadline that left time for the last level only, a level that failed it.
 */
export const ESCALATION_REASONS = ["confidence", "skip", "hopeless", "nonfinite", "deadline", "level_failure"] as const;
export type EscalationReason = (typeof ESCALATION_REASONS)[number];

export class CascadeStatistics {
  /** rowsByPath[k][j]: rows that level k answered (j = k) or passed on to level j. */
  readonly rowsByPath: readonly number[][];
  /** confidenceHistograms[k][bin]: confidences of level k's rows; a confidence of 1 or more is in the last bin. */
  readonly confidenceHistograms: readonly number[][];
  readonly escalations: Record<EscalationReason, number> = {
    confidence: 0,
    skip: 0,
    hopeless: 0,
    nonfinite: 0,
    deadline: 0,
    level_failure: 0,
  };
  /** Rows whose scores were no finite numbers; they always escalate. */
  nonFiniteRows = 0;
  /** Rows that got a lower level's answer than their gates wanted, because a level failed or time was short. */
  degradedRows = 0;
  /** cancelledRows[k]: rows that were at level k when their request was cancelled, and went no further. */
  readonly cancelledRows: number[];
  /** Rows that the last level answered a second time, and what came of it. */
  shadowRows = 0;
  shadowDisagreements = 0;
  /** Chosen rows that were not shadowed: the last level was too busy, or failed. */
  shadowRowsDropped = 0;
  shadowRowsFailed = 0;
  readonly #levels: readonly CascadeLevel[];

  constructor(levels: readonly CascadeLevel[]) {
    this.#levels = levels;
    this.rowsByPath = levels.map(() => new Array<number>(levels.length).fill(0));
    this.confidenceHistograms = levels.map(() => new Array<number>(CONFIDENCE_BINS).fill(0));
    this.cancelledRows = new Array<number>(levels.length).fill(0);
  }

  /** Counts a row's way from a level; `bin` of its confidence, -1 for none. */
  recordRow(level: number, destination: number, bin: number): void {
    const paths = this.rowsByPath[level];
    if (paths !== undefined) paths[destination] = (paths[destination] ?? 0) + 1;
    const histogram = this.confidenceHistograms[level];
    if (histogram !== undefined && bin >= 0) histogram[bin] = (histogram[bin] ?? 0) + 1;
  }

  /** Rows that each level answered or passed on, those of shadows included: what its cost is due to. */
  get rowsByLevel(): readonly number[] {
    const last = this.rowsByPath.length - 1;
    return this.rowsByPath.map(
      (paths, k) => paths.reduce((sum, rows) => sum + rows, 0) + (k === last ? this.shadowRows : 0),
    );
  }

  /** Rows times the file's cost per row, in the unit of the file; null where the level has no cost. */
  get costByLevel(): readonly (number | null)[] {
    return this.rowsByLevel.map((rows, k) => {
      const cost = this.#levels[k]?.cost ?? null;
      return cost === null ? null : rows * cost.value;
    });
  }
}

/** The histogram bin of a confidence; -1 for NaN. */
export function confidenceBin(q: number): number {
  if (Number.isNaN(q)) return -1;
  return Math.max(0, Math.min(CONFIDENCE_BINS - 1, Math.floor(q * CONFIDENCE_BINS)));
}
