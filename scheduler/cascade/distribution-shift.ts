/** Whether counts of a window still look like the shares they are expected to have. */

export interface ShiftTest {
  /** Probability of a false alarm in one window, over all cells that are looked at together. */
  readonly falseAlarmRate: number;
  /** Shifts of a share up to this are of no interest, however sure: traffic is never quite the certify split. */
  readonly tolerance: number;
  /** Cells that are looked at in the same window, in all tests together. */
  readonly cells: number;
}

export interface Shift {
  readonly cell: number;
  readonly observed: number;
  readonly expected: number;
}

/**
 * The cell whose share shifted most beyond tolerance and chance, if any. `expected` are shares that were estimated on
 * `referenceRows` rows. Chance is Bernstein's bound for the difference of two means of independent 0/1 values, each
 * side of each cell at falseAlarmRate / (2 cells); the larger of both shares stands for the unknown variance.
 */
export function findShift(
  counts: ArrayLike<number>,
  expected: ArrayLike<number>,
  referenceRows: number,
  test: ShiftTest,
): Shift | undefined {
  let rows = 0;
  for (let cell = 0; cell < counts.length; cell++) rows += counts[cell] ?? 0;
  if (rows === 0 || referenceRows <= 0) return undefined;
  const scale = 1 / rows + 1 / referenceRows;
  const log = Math.log((2 * test.cells) / test.falseAlarmRate);
  let worst: Shift | undefined;
  let excess = 0;
  for (let cell = 0; cell < counts.length; cell++) {
    const observed = (counts[cell] ?? 0) / rows;
    const share = expected[cell] ?? 0;
    const variance = Math.max(observed * (1 - observed), share * (1 - share));
    const chance = Math.sqrt(2 * variance * scale * log) + (scale * log) / 3;
    const over = Math.abs(observed - share) - test.tolerance - chance;
    if (over > excess) {
      excess = over;
      worst = { cell, observed, expected: share };
    }
  }
  return worst;
}
