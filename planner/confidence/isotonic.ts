/** Isotonic regression: the non-descending map from confidence to the share of right answers of least squared error. */

/** Knots of a piecewise linear map: x ascending, y non-descending in 0..1. */
export interface Knots {
  readonly x: readonly number[];
  readonly y: readonly number[];
}

interface Block {
  readonly first: number;
  readonly last: number;
  readonly rows: number;
  readonly right: number;
}

/**
 * Pools adjacent violators. A pool of rows becomes a flat stretch from its smallest to its largest confidence; rows of
 * equal confidence are always one pool. Rows whose confidence is NaN are left out.
 */
export function fitIsotonic(confidences: Float64Array, correct: Uint8Array): Knots {
  const order = Array.from(confidences.keys()).filter((row) => !Number.isNaN(confidences[row]));
  order.sort((a, b) => (confidences[a] ?? 0) - (confidences[b] ?? 0)); // rows are in range
  const blocks: Block[] = [];
  for (const row of order) {
    const q = confidences[row] ?? 0; // row is in range
    let block: Block = { first: q, last: q, rows: 1, right: correct[row] ?? 0 };
    for (let below = blocks.at(-1); below !== undefined && mustPool(below, block); below = blocks.at(-1)) {
      blocks.pop();
      block = { first: below.first, last: block.last, rows: below.rows + block.rows, right: below.right + block.right };
    }
    blocks.push(block);
  }
  const ends = blocks.flatMap(({ first, last, rows, right }) =>
    (first === last ? [first] : [first, last]).map((x) => ({ x, y: right / rows })),
  );
  return { x: ends.map((end) => end.x), y: ends.map((end) => end.y) };
}

function mustPool(below: Block, above: Block): boolean {
  return below.last === above.first || below.right * above.rows >= above.right * below.rows;
}
