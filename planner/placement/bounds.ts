/** What no placement can beat, and the choices of options in the order of what they could reach. */
import { latencyOf, type ModelOption, type PlacementModel } from "./model.ts";
import type { StageCost } from "./stage-cost.ts";

const PRICE_STEPS = 200;
/** PartialChoice choices kept while levels are joined. */
const BEAM = 512;

/** One option a level, and the best that any placement of them could reach: requests a second, or watts. */
export interface RankedChoice {
  readonly options: readonly number[];
  readonly bound: number;
}

/**
 * Choices within the latency budget, best bound first, at most `count`.
 * Throughput: at any prices of a device second by class, rate x (what the cheapest classes charge) <= cap x (what all
 * devices are worth). Energy: each stage at the class where run and kept watts are least, as if devices could be split.
 */
export function rankChoices(model: PlacementModel, count: number): RankedChoice[] {
  if (model.levels.some((level) => level.options.length === 0)) return [];
  const isThroughput = model.objective === "throughput";
  const prices = isThroughput ? classPrices(model) : [];
  const worth = isThroughput ? fleetWorth(model, prices) : 0;
  const costs = model.levels.map((level) =>
    level.options.map((option) => (isThroughput ? charge(option, prices) : optionWatts(model, option))),
  );
  return joinLevels(model, costs)
    .map(({ options, cost }) => ({ options, bound: isThroughput ? worth / cost : model.unusedWatts + cost }))
    .slice(0, count);
}

interface PartialChoice {
  readonly options: readonly number[];
  readonly cost: number;
  readonly latencyMs: number;
}

/** Cheapest sums of one cost a level; a partial choice stays only where the fastest rest keeps it within the budget. */
function joinLevels(model: PlacementModel, costs: readonly (readonly number[])[]): PartialChoice[] {
  const fastest = model.levels.map((level) =>
    level.countsForLatency ? Math.min(...level.options.map((option) => option.latencyMs)) : 0,
  );
  let restMs = fastest.reduce((sum, ms) => sum + ms, 0);
  let partials: PartialChoice[] = [{ options: [], cost: 0, latencyMs: 0 }];
  for (const [k, level] of model.levels.entries()) {
    restMs -= fastest[k] ?? 0;
    const next: PartialChoice[] = [];
    for (const partial of partials) {
      for (const [p, option] of level.options.entries()) {
        const latencyMs = partial.latencyMs + (level.countsForLatency ? option.latencyMs : 0);
        if (latencyMs + restMs > model.latencyBudgetMs * (1 + 1e-12)) continue;
        next.push({ options: [...partial.options, p], cost: partial.cost + (costs[k]?.[p] ?? 0), latencyMs });
      }
    }
    partials = next.sort((a, b) => a.cost - b.cost || a.latencyMs - b.latencyMs).slice(0, BEAM);
  }
  return partials.filter(({ options }) => latencyOf(model, options) <= model.latencyBudgetMs * (1 + 1e-9));
}

/** Prices that make the throughput bound small: a class that is asked for more than it has gets dearer. */
function classPrices(model: PlacementModel): number[] {
  const used = model.classes.map((each) => each.devices.length > 0);
  let prices: number[] = used.map((is) => (is ? 1 : 0));
  if (used.filter((is) => is).length === 1) return prices;
  let best = prices;
  let bestBound = Number.POSITIVE_INFINITY;
  for (let step = 0; step < PRICE_STEPS; step++) {
    const chosen = model.levels.map((level) => leastBy(level.options, (option) => charge(option, prices)));
    const total = chosen.reduce((sum, option) => sum + charge(option, prices), 0);
    const bound = fleetWorth(model, prices) / total;
    if (bound < bestBound) {
      bestBound = bound;
      best = prices;
    }
    const asked = prices.map(() => 0);
    for (const option of chosen) {
      for (const stage of option.stages) {
        const c = cheapestClass(stage, prices);
        asked[c] = (asked[c] ?? 0) + (stage[c]?.loadSeconds ?? 0) * bound;
      }
    }
    const rate = 0.5 / Math.sqrt(step + 1);
    prices = prices.map((price, c) => {
      const has = (model.classes[c]?.devices.length ?? 0) * model.utilisationCap;
      return has === 0 ? 0 : price * Math.exp(rate * Math.tanh((asked[c] ?? 0) / has - 1));
    });
  }
  return best;
}

function fleetWorth(model: PlacementModel, prices: readonly number[]): number {
  return model.classes.reduce((sum, each, c) => sum + each.devices.length * model.utilisationCap * (prices[c] ?? 0), 0);
}

/** Device seconds of a request at the given prices, each stage on its cheapest class. */
function charge(option: ModelOption, prices: readonly number[]): number {
  return option.stages.reduce((sum, stage) => {
    const c = cheapestClass(stage, prices);
    return sum + (stage[c]?.loadSeconds ?? 0) * (prices[c] ?? 0);
  }, 0);
}

function cheapestClass(stage: readonly (StageCost | null)[], prices: readonly number[]): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const [c, cost] of stage.entries()) {
    const price = cost === null ? Number.POSITIVE_INFINITY : cost.loadSeconds * (prices[c] ?? 0);
    if (price < least) {
      best = c;
      least = price;
    }
  }
  return best;
}

function optionWatts(model: PlacementModel, option: ModelOption): number {
  return option.stages.reduce((sum, stage) => {
    const watts = stage.map((cost, c) =>
      cost === null
        ? Number.POSITIVE_INFINITY
        : model.rate * (cost.joules + (cost.loadSeconds / model.utilisationCap) * (model.classes[c]?.keptWatts ?? 0)),
    );
    return sum + Math.min(...watts);
  }, 0);
}

function leastBy<T>(items: readonly T[], cost: (item: T) => number): T {
  return items.reduce((best, item) => (cost(item) < cost(best) ? item : best));
}
