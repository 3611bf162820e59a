/**
 * Ways of rows through a cascade as bit masks: bit k is set where the row is asked of level k; the highest bit is the
 * level whose answer stands. Recorded rows are best: how sure the levels are of one row belongs together, which
 * independent draws from `paths` do not know.
 */
import type { Gate } from "../../proto/files/cascade-file.ts";
import { entryOf, reachOf } from "../../proto/files/workload-file.ts";
import { entryLevel, route } from "../../scheduler/cascade/policy.ts";

/** A mask has a bit a level. */
export const MOST_LEVELS = 31;

/** Where the ways of simulated rows come from. */
export type Routing =
  /** paths[k][j]: share of level k's rows answered there (j = k) or sent to level j (j > k); each step by itself. */
  | { readonly kind: "paths"; readonly paths: readonly (readonly number[])[] }
  /** Ways of real rows: taken in their order, over and over, or at random with replacement. */
  | { readonly kind: "recorded"; readonly ways: Uint32Array; readonly order: "sequence" | "random" };

/** Hands out the way of one row after the other. */
export function waySource(routing: Routing, random: () => number): () => number {
  if (routing.kind === "paths") {
    const shares = routing.paths.map((row) => Float64Array.from(row));
    const entry = entryOf(routing.paths);
    return () => drawWay(shares, entry, random);
  }
  const { ways, order } = routing;
  if (order === "random") return () => ways[Math.floor(random() * ways.length)] ?? 0;
  let next = 0;
  return () => {
    const way = ways[next] ?? 0;
    next = next + 1 === ways.length ? 0 : next + 1;
    return way;
  };
}

/** Share of all rows that enter each of `levels` levels, shadows left out. */
export function reachOfRouting(routing: Routing, levels: number): number[] {
  if (routing.kind === "paths") return reachOf(routing.paths);
  const entering = new Array<number>(levels).fill(0);
  for (const way of routing.ways) {
    for (let k = 0; k < levels; k++) entering[k] = (entering[k] ?? 0) + ((way >>> k) & 1);
  }
  return entering.map((rows) => rows / routing.ways.length);
}

/** Every row goes to the last of `levels` levels at once. */
export function lastLevelOnly(levels: number): Routing {
  return { kind: "recorded", ways: Uint32Array.of(2 ** (levels - 1)), order: "sequence" };
}

/**
 * Ways of rows with recorded confidences, by the server's own `route`. confidences[k][row]; the last level's may be
 * absent. One gate for each level but the last.
 */
export function waysOfConfidences(
  confidences: readonly ArrayLike<number>[],
  rows: number,
  gates: readonly Gate[],
): Uint32Array {
  const lastLevel = gates.length;
  const entry = entryLevel(gates);
  const ways = new Uint32Array(rows);
  for (let row = 0; row < rows; row++) {
    let level = entry;
    let way = 1 << level;
    for (let gate = gates[level]; gate !== undefined; gate = gates[level]) {
      const next = route(confidences[level]?.[row] ?? Number.NaN, gate, level, lastLevel);
      if (next === level) break;
      level = next;
      way |= 1 << level;
    }
    ways[row] = way;
  }
  return ways;
}

/**
 * Ways of rows of which only the answering level is known: the levels before it are drawn by `paths`, backwards:
 * P(k before j) is proportional to reach[k] * paths[k][j].
 */
export function waysOfExits(
  exits: ArrayLike<number>,
  paths: readonly (readonly number[])[],
  random: () => number,
): Uint32Array {
  const reach = reachOf(paths);
  const entry = entryOf(paths);
  return Uint32Array.from(exits, (exit) => {
    let way = 1 << exit;
    for (let level = exit; level > entry; ) {
      const target = level;
      const weights = reach.slice(0, target).map((share, k) => share * (paths[k]?.[target] ?? 0));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      // Rows were answered where the paths send none: the plain way, through every level.
      level = total === 0 ? target - 1 : chosen(weights, random() * total);
      way |= 1 << level;
    }
    return way;
  });
}

function drawWay(paths: readonly Float64Array[], entry: number, random: () => number): number {
  let level = entry;
  let way = 1 << entry;
  for (;;) {
    const shares = paths[level];
    if (shares === undefined || level === paths.length - 1) return way;
    let rest = random();
    let next = level;
    while (next < paths.length - 1 && rest >= (shares[next] ?? 0)) {
      rest -= shares[next] ?? 0;
      next++;
    }
    // What rounding leaves over belongs to the level itself.
    if (next === level || (shares[next] ?? 0) === 0) return way;
    level = next;
    way |= 1 << level;
  }
}

function chosen(weights: readonly number[], target: number): number {
  let rest = target;
  for (const [i, weight] of weights.entries()) {
    if (rest < weight) return i;
    rest -= weight;
  }
  return weights.length - 1;
}
