/**
 * What a certificate tests: rows, or groups of rows that are alike (a user, a document). Groups are independent of each
 * other and their rows are not, so a group is one sample; but what is promised, like what is expected and watched, is a
 * mean over rows. So each group enters with its rows as its weight, and the test bounds the ratio of the means
 * E[loss of the group] / E[rows of the group].
 */

/** Groups of the rows of a split. */
export interface RowGroups {
  /** Number of each row's group: 0, 1, ... */
  readonly of: Int32Array;
  /**
   * Most rows with which a group weighs in, at least 1. A bounded mean needs such a limit, and it must not come from the
   * rows that certify: a group that nobody has seen yet could be larger. Larger groups weigh this much, by their mean.
   */
  readonly mostRows: number;
}

/** Independent samples for `bettingPValue`; without `weights` each weighs 1. */
export interface TestUnits {
  readonly values: Float64Array;
  readonly weights: Float64Array | undefined;
}

/** Values of rows, each mapped into [0,1], or of groups in order of their first rows: min(rows, most) / most, times their mean. */
export function testUnits(
  losses: Int8Array | Uint8Array,
  groups: RowGroups | null,
  map: (loss: number) => number,
): TestUnits {
  if (groups === null) return { values: Float64Array.from(losses, map), weights: undefined };
  const numbers = groupNumbers(groups.of);
  const sizes = groupSizes(groups.of);
  const sums = new Float64Array(sizes.length);
  losses.forEach((loss, row) => {
    const group = numbers[row] ?? 0;
    sums[group] = (sums[group] ?? 0) + map(loss);
  });
  const weights = Float64Array.from(sizes, (rows) => Math.min(rows, groups.mostRows) / groups.mostRows);
  return { values: sums.map((sum, group) => (sum / (sizes[group] ?? 1)) * (weights[group] ?? 0)), weights };
}

/** Rows of each group, in order of their first rows. */
export function groupSizes(groups: Int32Array): number[] {
  const sizes: number[] = [];
  for (const group of groupNumbers(groups)) sizes[group] = (sizes[group] ?? 0) + 1;
  return sizes;
}

/** Groups numbered anew, from 0 in order of their first rows. */
function groupNumbers(groups: Int32Array): Int32Array {
  const numbers = new Map<number, number>();
  return groups.map((group) => {
    const known = numbers.get(group) ?? numbers.size;
    numbers.set(group, known);
    return known;
  });
}
