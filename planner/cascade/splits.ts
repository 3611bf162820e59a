/**
 * Which rows fit confidences, which choose thresholds, which certify. The hash of a row decides, not a seed: running
 * again draws the same split, and identical rows (or rows of one group) never stand on both sides of one.
 */

export interface SplitShares {
  /** D1: fits confidence functions. */
  readonly fit: number;
  /** D2: chooses functions and thresholds. */
  readonly tune: number;
  /** D3: certifies, and is used for nothing else. */
  readonly certify: number;
}

export const FITTED_SHARES: SplitShares = { fit: 0.2, tune: 0.3, certify: 0.5 };
/**
 * Where nothing is fitted. D3 is the same as where something is: functions that are kept were chosen on the rows before
 * it, and another confidence certified on these rows is a use of the same D3.
 */
export const UNFITTED_SHARES: SplitShares = { fit: 0, tune: 0.5, certify: 0.5 };

/** Row numbers of each split, ordered by hash: an order that nobody chose. */
export interface Splits {
  readonly fit: Int32Array;
  readonly tune: Int32Array;
  readonly certify: Int32Array;
}

/** Hex digits of a hash that decide the split; 13 are all that a number holds. */
const DECIDING_DIGITS = 13;

/**
 * Splits rows by `hashes`: the hex hash of each row, or of its group where rows are grouped. Equal hashes share a
 * split; within a split rows are in order of their hash, equal ones in order of the data.
 */
export function splitRows(hashes: readonly string[], shares: SplitShares): Splits {
  const order = Array.from(hashes, (_, row) => row).sort((a, b) => {
    const left = hashes[a] ?? "";
    const right = hashes[b] ?? "";
    return left < right ? -1 : left > right ? 1 : a - b;
  });
  const parts = { fit: [] as number[], tune: [] as number[], certify: [] as number[] };
  for (const row of order) {
    const at = Number.parseInt((hashes[row] ?? "").slice(-DECIDING_DIGITS), 16) / 16 ** DECIDING_DIGITS;
    const part = at < shares.fit ? parts.fit : at < shares.fit + shares.tune ? parts.tune : parts.certify;
    part.push(row);
  }
  return {
    fit: Int32Array.from(parts.fit),
    tune: Int32Array.from(parts.tune),
    certify: Int32Array.from(parts.certify),
  };
}

/**
 * Rows that are copies of rows before them. Each counts as a sample of its own in a certificate, which is right for
 * inputs that traffic repeats as often, and promises too much where somebody made the copies.
 */
export function copiedRows(hashes: readonly string[]): number {
  return hashes.length - new Set(hashes).size;
}
