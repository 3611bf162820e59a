/** How good confidences are: calibration and ranking of "is the answer right?". */

const ECE_BINS = 15;

/** One bar of a reliability diagram: rows with lower <= q < upper (the last bin includes 1). */
export interface ReliabilityBin {
  readonly lower: number;
  readonly upper: number;
  readonly rows: number;
  /** Mean confidence and share of right answers; 0 without rows. */
  readonly confidence: number;
  readonly accuracy: number;
}

/** Shares and losses are of 1; natural logarithms. */
export interface ConfidenceQuality {
  /** Mean negative log likelihood of "right?", q clipped to [1e-12, 1 - 1e-12]. */
  readonly nll: number;
  /** Expected calibration error over 15 bins of equal width. */
  readonly ece: number;
  readonly brier: number;
  /** Chance that a right answer has the higher confidence than a wrong one; NaN where all are right or all wrong. */
  readonly auroc: number;
  readonly bins: readonly ReliabilityBin[];
  /** Rows whose confidence is NaN; they count as 0, as in serving. */
  readonly nonFiniteRows: number;
}

/** Judges confidences by `correct` (1 = right); one element a row. */
export function confidenceQuality(confidences: Float64Array, correct: Uint8Array): ConfidenceQuality {
  const rows = confidences.length;
  const counts = new Float64Array(ECE_BINS);
  const sums = new Float64Array(ECE_BINS);
  const rights = new Float64Array(ECE_BINS);
  let [nll, brier, nonFiniteRows] = [0, 0, 0];
  for (let row = 0; row < rows; row++) {
    const value = confidences[row] as number; // in range
    if (Number.isNaN(value)) nonFiniteRows++;
    const q = Number.isNaN(value) ? 0 : Math.min(1, Math.max(0, value));
    const right = correct[row] ?? 0;
    const clipped = Math.min(1 - 1e-12, Math.max(1e-12, q));
    nll -= right === 1 ? Math.log(clipped) : Math.log1p(-clipped);
    brier += (q - right) ** 2;
    const bin = Math.min(ECE_BINS - 1, Math.floor(q * ECE_BINS));
    counts[bin] = (counts[bin] ?? 0) + 1;
    sums[bin] = (sums[bin] ?? 0) + q;
    rights[bin] = (rights[bin] ?? 0) + right;
  }
  const bins = Array.from(counts, (count, i) => ({
    lower: i / ECE_BINS,
    upper: (i + 1) / ECE_BINS,
    rows: count,
    confidence: (sums[i] ?? 0) / Math.max(1, count),
    accuracy: (rights[i] ?? 0) / Math.max(1, count),
  }));
  const ece =
    bins.reduce((sum, bin) => sum + bin.rows * Math.abs(bin.confidence - bin.accuracy), 0) / Math.max(1, rows);
  const placed = placements(confidences, correct);
  const auroc = placed.right.reduce((sum, share) => sum + share, 0) / placed.right.length; // NaN for 0 / 0
  return {
    nll: nll / Math.max(1, rows),
    ece,
    brier: brier / Math.max(1, rows),
    auroc: placed.wrong.length === 0 ? Number.NaN : auroc,
    bins,
    nonFiniteRows,
  };
}

/**
 * `right`: for each right row, the share of wrong rows with a lower confidence (ties count half); `wrong`: for each
 * wrong row, the share of right rows with a higher one. In the order of the rows; the mean of either is the AUROC.
 */
export interface Placements {
  readonly right: Float64Array;
  readonly wrong: Float64Array;
}

export function placements(confidences: Float64Array, correct: Uint8Array): Placements {
  const q = confidences.map((value) => (Number.isNaN(value) ? 0 : value));
  const rightSorted = q.filter((_, row) => correct[row] === 1).sort();
  const wrongSorted = q.filter((_, row) => correct[row] !== 1).sort();
  const right: number[] = [];
  const wrong: number[] = [];
  for (let row = 0; row < q.length; row++) {
    const value = q[row] as number; // in range
    if (correct[row] === 1) right.push(shareBelow(wrongSorted, value));
    else wrong.push(1 - shareBelow(rightSorted, value));
  }
  return { right: Float64Array.from(right), wrong: Float64Array.from(wrong) };
}

/** Share of the ascending values below `value`, equal ones counted half. */
function shareBelow(ascending: Float64Array, value: number): number {
  return (
    (countWhere(ascending, (other) => other < value) + countWhere(ascending, (other) => other <= value)) /
    2 /
    ascending.length
  );
}

/** How many elements the predicate holds for: it holds for a beginning of the list. */
function countWhere(ascending: Float64Array, holds: (other: number) => boolean): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(ascending[middle] as number))
      low = middle + 1; // middle is below the length
    else high = middle;
  }
  return low;
}
