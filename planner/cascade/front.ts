/** Pareto fronts of gates, and the named points on them. */
import type { GateOutcome } from "./outcomes.ts";

/** Positions of the points that no other beats in both: ascending cost, descending loss. Ties go to the lower position. */
export function paretoFront(costs: Float64Array, losses: Float64Array): number[] {
  const order = Array.from(costs, (_, i) => i).sort(
    (a, b) => (costs[a] ?? 0) - (costs[b] ?? 0) || (losses[a] ?? 0) - (losses[b] ?? 0) || a - b,
  );
  const front: number[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (const i of order) {
    const loss = losses[i] ?? Number.POSITIVE_INFINITY;
    if (loss >= least) continue;
    least = loss;
    front.push(i);
  }
  return front;
}

/**
 * The knee of a front in ascending cost: the point farthest above the chord between its ends, both axes scaled to
 * [0, 1] (the operating point "EO"). The first of equals; undefined for an empty front.
 */
export function knee<T extends Pick<GateOutcome, "cost" | "accuracy">>(front: readonly T[]): T | undefined {
  const first = front[0];
  const last = front.at(-1);
  if (first === undefined || last === undefined) return undefined;
  const width = last.cost - first.cost || 1;
  const height = last.accuracy - first.accuracy || 1;
  let best = first;
  let farthest = 0;
  for (const point of front) {
    const distance = (point.accuracy - first.accuracy) / height - (point.cost - first.cost) / width;
    if (distance > farthest + 1e-12) {
      farthest = distance;
      best = point;
    }
  }
  return best;
}

/** The most accurate point that costs no more than this; undefined where none does. */
export function withinBudget<T extends Pick<GateOutcome, "cost" | "accuracy">>(
  front: readonly T[],
  cost: number,
): T | undefined {
  return front
    .filter((point) => point.cost <= cost)
    .reduce<T | undefined>(
      (best, point) => (best === undefined || point.accuracy > best.accuracy ? point : best),
      undefined,
    );
}
