/** The split that the profile's partition is compared with: by parameter count, as HybridServe's prototype cut. */

export interface CutsFound {
  readonly feasible: true;
  /** Ascending positions. */
  readonly cuts: readonly number[];
}

export interface EmptyStage {
  readonly feasible: false;
  /** The first stage that would hold nothing, from 0. */
  readonly stage: number;
}

/**
 * What lies between neighbouring candidates belongs to stage s of S when the parameters up to its end lie in
 * (total * s / S, total * (s + 1) / S] (hybridserve.md 1.3). Times, transfers and memory play no part; a part larger
 * than total / S may leave a stage empty, which the rule has no answer to.
 */
export function partitionByParameterCount(
  weightBytes: readonly number[],
  candidates: readonly number[],
  stages: number,
): CutsFound | EmptyStage {
  const total = weightBytes.reduce((a, b) => a + b, 0);
  const borders = [0, ...candidates, weightBytes.length];
  const cuts: number[] = [];
  let before = 0;
  let current = 0;
  for (let k = 1; k < borders.length; k++) {
    const from = borders[k - 1] ?? 0;
    before += weightBytes.slice(from, borders[k]).reduce((a, b) => a + b, 0);
    const stage = Math.min(stages - 1, Math.max(0, Math.ceil((before * stages) / total) - 1 || 0));
    if (stage === current) continue;
    if (stage > current + 1 || from === 0) return { feasible: false, stage: from === 0 ? 0 : current + 1 };
    cuts.push(from);
    current = stage;
  }
  return current < stages - 1 ? { feasible: false, stage: current + 1 } : { feasible: true, cuts };
}
