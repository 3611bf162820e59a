/** What no placement can beat, and the choices of options in the order of what they could reach. */
import { type Bin, balanceLayout, unitsOf } from "./layout.ts";
import { latencyOf, type ModelOption, type PlacementModel } from "./model.ts";
import type { StageCost } from "./stage-cost.ts";

const PRICE_STEPS = 200;
/** PartialChoice choices kept while levels are joined. */
const BEAM = 512;

/** Choices whose own bound is computed; the others are bounded together. */
const EXAMINED = 192;

/** One option a level, and the best that any placement of them could reach: requests a second, or watts. */
export interface RankedChoice {
  readonly options: readonly number[];
  readonly bound: number;
}

export interface RankedChoices {
  /** Best bound first. */
  readonly choices: readonly RankedChoice[];
  /** What no choice beats that is not among `choices`: 0 requests a second or infinite watts where there are no others. */
  readonly rest: number;
}

/**
 * Choices within the latency budget, at most `count`. They are found by prices and bounded one by one by an LP in which
 * devices can be split and memory is free.
 * Prices, throughput: at any prices of a device second by class, rate x (what the cheapest classes charge) <= cap x (what all
 * devices are worth). Energy: each stage at the class where run and kept watts are least.
 */
export function rankChoices(model: PlacementModel, count: number): RankedChoices {
  const isThroughput = model.objective === "throughput";
  const nothing = isThroughput ? 0 : Number.POSITIVE_INFINITY;
  if (model.levels.some((level) => level.options.length === 0)) return { choices: [], rest: nothing };
  const prices = isThroughput ? classPrices(model) : [];
  const worth = isThroughput ? fleetWorth(model, prices) : 0;
  const costs = model.levels.map((level) =>
    level.options.map((option) => (isThroughput ? charge(option, prices) : optionWatts(model, option))),
  );
  const joined = joinLevels(model, costs);
  const byPrice = ({ cost }: PartialChoice): number => (isThroughput ? worth / cost : model.unusedWatts + cost);
  const examined = joined
    .slice(0, EXAMINED)
    .map((choice): RankedChoice => ({ options: choice.options, bound: splitBound(model, choice.options) }));
  examined.sort((a, b) => (isThroughput ? b.bound - a.bound : a.bound - b.bound));
  const others = joined.slice(EXAMINED, EXAMINED + 1).map(byPrice);
  const left = examined.slice(count, count + 1).map(({ bound }) => bound);
  const rest = isThroughput ? Math.max(nothing, ...others, ...left) : Math.min(nothing, ...others, ...left);
  return { choices: examined.slice(0, count), rest };
}

/** The bound of all choices together. */
export function boundOf(model: PlacementModel, { choices, rest }: RankedChoices): number {
  const bounds = [...choices.map(({ bound }) => bound), rest];
  return model.objective === "throughput" ? Math.max(...bounds) : Math.min(...bounds);
}

/** Best value of one choice when every device can hold everything and be used in part. */
function splitBound(model: PlacementModel, options: readonly number[]): number {
  const units = unitsOf(model, options).map((unit) => ({
    ...unit,
    on: unit.on.map((cost, c) => {
      const kept = model.classes[c]?.keptWatts ?? 0;
      // A device second in use costs its share of what keeps the device on.
      return cost && { ...cost, joules: cost.joules + (cost.loadSeconds / model.utilisationCap) * kept };
    }),
  }));
  const bins = model.classes.flatMap(({ devices }, classIndex): Bin[] => {
    const able = units.flatMap((unit, u) => (unit.on[classIndex] ? [u] : []));
    return devices.length === 0 ? [] : [{ classIndex, units: able, count: devices.length }];
  });
  const free = { ...model, classes: model.classes.map((each) => ({ ...each, keptWatts: 0 })) };
  const { rate, watts } = balanceLayout(free, { choice: options, units, bins }, true);
  if (model.objective === "throughput") return rate;
  return rate >= model.rate * (1 - 1e-7) ? watts : Number.POSITIVE_INFINITY;
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
