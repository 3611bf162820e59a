/** Prices of device time by class and of latency (Lagrange multipliers) under which choosing options level by level is easy. */
import type { ModelOption, PlacementModel } from "./model.ts";
import type { StageCost } from "./stage-cost.ts";

const STEPS = 300;

export interface Prices {
  /** Throughput: of a device second. Energy: what a device costs above its watts because its class is scarce. */
  readonly classes: readonly number[];
  /** Of a millisecond of the counted levels. */
  readonly latency: number;
}

/** What options cost at some prices, and what that says about all placements. */
export interface PricedOptions {
  /** costs[k][p], latency included. */
  readonly costs: readonly (readonly number[])[];
  /** What no choice of options with this sum of costs, or more, can beat: requests a second or watts. */
  bound(sum: number): number;
}

/**
 * Throughput: rate x (what the cheapest classes charge for a request) <= cap x (what all devices are worth). Energy: every
 * stage at the class where run, kept watts and scarcity cost least, minus what the scarce devices are worth. A latency price
 * may be added to either, because a feasible choice stays within the budget.
 */
export function priceOptions(model: PlacementModel, prices: Prices): PricedOptions {
  const { latencyBudgetMs } = model;
  const budget = prices.latency === 0 ? 0 : prices.latency * latencyBudgetMs;
  const worth = model.classes.reduce((sum, each, c) => {
    const seconds = model.objective === "throughput" ? model.utilisationCap : 1;
    return sum + each.devices.length * seconds * (prices.classes[c] ?? 0);
  }, 0);
  return {
    costs: model.levels.map((level) =>
      level.options.map(
        (option) =>
          chargeOf(model, option, prices).sum + (level.countsForLatency ? prices.latency * option.latencyMs : 0),
      ),
    ),
    bound: (sum) => {
      if (model.objective === "energy") return model.unusedWatts + Math.max(0, sum - budget - worth);
      return sum > budget ? worth / (sum - budget) : Number.POSITIVE_INFINITY;
    },
  };
}

/** Prices whose bound is as tight as some steps against the gradient make it: what is asked for too much gets dearer. */
export function findPrices(model: PlacementModel): Prices {
  const isThroughput = model.objective === "throughput";
  let prices: Prices = { classes: model.classes.map(() => (isThroughput ? 1 : 0)), latency: 0 };
  let best = prices;
  let bestBound = Number.NaN;
  for (let step = 0; step < STEPS; step++) {
    const { costs, bound } = priceOptions(model, prices);
    const chosen = costs.map((each, k) => ({ k, p: leastIndex(each) }));
    const sum = chosen.reduce((total, { k, p }) => total + (costs[k]?.[p] ?? 0), 0);
    const value = bound(sum);
    if (Number.isNaN(bestBound) || (isThroughput ? value < bestBound : value > bestBound)) {
      bestBound = value;
      best = prices;
    }
    prices = nextPrices(model, prices, chosen, 0.5 / Math.sqrt(step + 1));
  }
  return best;
}

function nextPrices(
  model: PlacementModel,
  prices: Prices,
  chosen: readonly { readonly k: number; readonly p: number }[],
  step: number,
): Prices {
  const asked = model.classes.map(() => 0);
  let latencyMs = 0;
  let charged = 0;
  for (const { k, p } of chosen) {
    const level = model.levels[k];
    const option = level?.options[p];
    if (level === undefined || option === undefined) continue;
    const charge = chargeOf(model, option, prices);
    charged += charge.sum;
    for (const [c, seconds] of charge.seconds.entries()) asked[c] = (asked[c] ?? 0) + seconds;
    if (level.countsForLatency) latencyMs += option.latencyMs;
  }
  const total = asked.reduce((sum, seconds) => sum + seconds, 0);
  const isThroughput = model.objective === "throughput";
  const devices = model.classes.reduce((sum, each) => sum + each.devices.length, 0);
  const classes = prices.classes.map((price, c) => {
    const count = model.classes[c]?.devices.length ?? 0;
    if (count === 0) return 0;
    if (!isThroughput) {
      const used = ((asked[c] ?? 0) * model.rate) / (model.utilisationCap * count);
      const kept = Math.max(model.classes[c]?.keptWatts ?? 0, 1);
      return Math.max(0, price + step * kept * Math.tanh(used - 1));
    }
    // A class should carry its share of the work, dear work counted like cheap work.
    const share = (asked[c] ?? 0) / total / (count / devices);
    return (price / charged) * Math.exp(step * Math.tanh(share - 1));
  });
  if (!Number.isFinite(model.latencyBudgetMs)) return { classes, latency: 0 };
  const scale = (isThroughput ? 1 : charged) / model.latencyBudgetMs;
  const relative = (isThroughput ? prices.latency / charged : prices.latency) / scale;
  const latency = scale * Math.max(0, relative + step * Math.tanh(4 * (latencyMs / model.latencyBudgetMs - 1)));
  return { classes, latency };
}

/** Cost of a request (throughput) or watts (energy), and the device seconds a request takes from each class. */
function chargeOf(
  model: PlacementModel,
  option: ModelOption,
  prices: Prices,
): { readonly sum: number; readonly seconds: readonly number[] } {
  const seconds = model.classes.map(() => 0);
  let sum = 0;
  for (const stage of option.stages) {
    let least = Number.POSITIVE_INFINITY;
    let at = -1;
    for (const [c, cost] of stage.entries()) {
      const price = cost === null ? Number.POSITIVE_INFINITY : stagePrice(model, cost, c, prices);
      if (price < least) {
        least = price;
        at = c;
      }
    }
    sum += least;
    if (at >= 0) seconds[at] = (seconds[at] ?? 0) + (stage[at]?.loadSeconds ?? 0);
  }
  return { sum, seconds };
}

function stagePrice(model: PlacementModel, cost: StageCost, c: number, prices: Prices): number {
  const price = prices.classes[c] ?? 0;
  if (model.objective === "throughput") return cost.loadSeconds * price;
  const kept = (model.classes[c]?.keptWatts ?? 0) + price;
  return model.rate * (cost.joules + (cost.loadSeconds / model.utilisationCap) * kept);
}

function leastIndex(values: readonly number[]): number {
  let best = 0;
  for (const [i, value] of values.entries()) if (value < (values[best] ?? value)) best = i;
  return best;
}
