/** The batch sizes that a model is measured at. Pure. */

/** 1, 2, 4 ... and the largest itself; 1 alone for a model that does not batch (0). */
export function batchSizesUpTo(maxBatchSize: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < maxBatchSize; size *= 2) sizes.push(size);
  return [...sizes, Math.max(1, maxBatchSize)];
}

/** The asked sizes that the model takes, ascending and once each. */
export function allowedSizes(asked: readonly number[], maxBatchSize: number): number[] {
  const most = Math.max(1, maxBatchSize);
  return [...new Set(asked.filter((size) => size <= most))].sort((a, b) => a - b);
}
