/**
 * Cross-entropy search over cuts (Rubinstein; the paper's "sampling-based search"): draws from a normal distribution in
 * sorted quantile coordinates, keeps the best, fits again; then single cuts of the best are moved while that helps.
 */
import type { GateCuts } from "./cell-table.ts";
import { type Evaluations, type SearchOptions, uniformCuts } from "./evaluations.ts";
import { normal, seededRandom } from "./random.ts";

const DRAWS = 2000;
const KEPT = 50;
const ROUNDS = 30;
/** Prices of the last level's cost in accuracy, one restart each: from "accuracy at any cost" to "cheap". */
const PRICES = [0.0005, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3];
/** Prices between them, for the polish alone. */
const POLISH_PRICES = [0.0001, 0.001, 0.0035, 0.007, 0.015, 0.035, 0.07, 0.2];
const POLISH_STEPS = [-4, -2, -1, 1, 2, 4];

/** Looks at many gates for each price, by error and by harm; everything looked at is kept in `evaluations`. */
export function crossEntropySearch(evaluations: Evaluations, levels: number, options: SearchOptions): void {
  const lastCost = options.costs[levels - 1] || 1; // a price per cost of nothing is no price
  const toCuts = cutsFrom(evaluations, levels, options);
  const dimensions = numberOfCuts(levels, options);
  PRICES.forEach((price, restart) => {
    const random = seededRandom(options.seed + restart);
    for (const byHarm of [false, true]) {
      const score = scoreOf(evaluations, price / lastCost, byHarm);
      const best = restartSearch(dimensions, toCuts, score, random);
      for (const polishPrice of [price, POLISH_PRICES[restart] ?? price]) {
        polish(best, evaluations.table.neverBorders, options, scoreOf(evaluations, polishPrice / lastCost, byHarm));
      }
    }
  });
}

type Score = (cuts: readonly GateCuts[]) => number;

function scoreOf(evaluations: Evaluations, price: number, byHarm: boolean): Score {
  return (cuts) => {
    const { accuracy, harm, cost } = evaluations.add(cuts);
    return (byHarm ? -harm : accuracy) - price * cost;
  };
}

function restartSearch(
  dimensions: number,
  toCuts: (coordinates: readonly number[]) => GateCuts[],
  score: Score,
  random: () => number,
): GateCuts[] {
  const means = new Array<number>(dimensions).fill(0.5);
  const deviations = new Array<number>(dimensions).fill(0.5);
  let best: { cuts: GateCuts[]; score: number } | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    const draws = Array.from({ length: DRAWS }, () => {
      const coordinates = means.map((mean, i) => within(normal(random, mean, deviations[i] ?? 0)));
      const cuts = toCuts(coordinates);
      return { coordinates, cuts, score: score(cuts) };
    });
    draws.sort((a, b) => b.score - a.score);
    const kept = draws.slice(0, KEPT);
    const top = kept[0];
    if (top !== undefined && (best === undefined || top.score > best.score)) best = top;
    if (top?.score === kept.at(-1)?.score) break; // all kept fall into one cell: nothing left to learn
    for (let i = 0; i < dimensions; i++) {
      const mean = kept.reduce((sum, draw) => sum + (draw.coordinates[i] ?? 0), 0) / kept.length;
      const square = kept.reduce((sum, draw) => sum + ((draw.coordinates[i] ?? 0) - mean) ** 2, 0) / kept.length;
      means[i] = mean;
      deviations[i] = Math.sqrt(square);
    }
  }
  return best?.cuts ?? toCuts(means);
}

/** Moves one cut at a time while the score rises. */
function polish(start: GateCuts[], never: readonly number[], options: SearchOptions, score: Score): void {
  let best = start;
  let highest = score(best);
  for (let isBetter = true; isBetter; ) {
    isBetter = false;
    for (let gate = 0; gate < best.length; gate++) {
      const movable = options.skips === "searched" ? (best[gate]?.length ?? 0) : 1;
      for (let cut = 0; cut < movable; cut++) {
        for (const step of POLISH_STEPS) {
          const moved = move(best, gate, cut, step, never[gate] ?? 0);
          if (moved === undefined) continue;
          const reached = score(moved);
          if (reached <= highest + 1e-12) continue;
          best = moved;
          highest = reached;
          isBetter = true;
        }
      }
    }
  }
}

/** The cuts with one moved; undefined where it would pass its neighbours. */
function move(cuts: readonly GateCuts[], gate: number, cut: number, step: number, never: number) {
  const own = [...(cuts[gate] ?? [])];
  const moved = (own[cut] ?? 0) + step;
  const above = cut === 0 ? never : (own[cut - 1] ?? never);
  const below = own[cut + 1] ?? (cut === 0 ? 1 : 0);
  if (moved > above || moved < below || (cut === 0 && moved < 1)) return undefined;
  own[cut] = moved;
  return cuts.map((other, k) => (k === gate ? own : other));
}

function numberOfCuts(levels: number, { skips, hopeless }: SearchOptions): number {
  let count = 0;
  for (let k = 0; k < levels - 1; k++) {
    count += 1 + (skips === "searched" ? levels - 2 - k : 0) + (hopeless === null ? 0 : 1);
  }
  return count;
}

/** From coordinates in 0..1 to non-increasing borders of each gate. */
function cutsFrom({ table }: Evaluations, levels: number, { skips, hopeless }: SearchOptions) {
  return (coordinates: readonly number[]): GateCuts[] => {
    let at = 0;
    return table.neverBorders.map((never, k) => {
      const skippable = levels - 2 - k;
      const free = 1 + (skips === "searched" ? skippable : 0) + (hopeless === null ? 0 : 1);
      const borders = coordinates.slice(at, at + free).map((value) => Math.round(value * never));
      borders.sort((a, b) => b - a);
      at += free;
      const accept = Math.max(1, borders[0] ?? never);
      const band = borders.at(-1) ?? 0;
      const hopelessCut = hopeless === null ? [] : [band];
      if (skips === "searched") return [accept, ...borders.slice(1, 1 + skippable), ...hopelessCut];
      if (skips === "none") return [accept, ...new Array<number>(skippable).fill(0), ...hopelessCut];
      const uniform = uniformCuts(table.borders[k] ?? [], accept, skippable);
      // The band ends at the lowest fixed cut: cuts do not increase.
      return hopeless === null ? uniform : [...uniform, Math.min(band, uniform.at(-1) ?? band)];
    });
  };
}

function within(value: number): number {
  return Math.min(1, Math.max(0, value));
}
