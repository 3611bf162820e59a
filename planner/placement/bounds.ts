/** What no placement can beat, and the choices of options in the order of what they could reach. */
import { type Bin, balanceLayout, unitsOf } from "./layout.ts";
import type { PlacementModel } from "./model.ts";
import { findPrices, priceOptions } from "./prices.ts";

/** Partial choices kept while levels are joined. */
const BEAM = 2048;

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
 * Choices within the latency budget, at most `count`: found by prices, then bounded one by one by an LP in which devices can
 * be split and memory is free.
 */
export function rankChoices(model: PlacementModel, count: number): RankedChoices {
  const isThroughput = model.objective === "throughput";
  const nothing = isThroughput ? 0 : Number.POSITIVE_INFINITY;
  if (model.levels.some((level) => level.options.length === 0)) return { choices: [], rest: nothing };
  const { costs, bound } = priceOptions(model, findPrices(model));
  const { choices, leastDropped } = joinLevels(model, costs);
  const isBetter = (a: number, b: number): boolean => (isThroughput ? a > b : a < b);
  const examined: RankedChoice[] = [];
  let leastCost = leastDropped;
  for (const { options, cost } of choices) {
    const last = examined[count - 1];
    // Prices only fall from here on: no later choice comes among the first `count`.
    if (last !== undefined && !isBetter(bound(cost), last.bound)) {
      leastCost = Math.min(leastCost, cost);
      break;
    }
    const own: RankedChoice = { options, bound: splitBound(model, options) };
    const at = examined.findIndex((each) => isBetter(own.bound, each.bound));
    examined.splice(at < 0 ? examined.length : at, 0, own);
  }
  const others = Number.isFinite(leastCost) ? [bound(leastCost)] : [];
  const left = examined.slice(count, count + 1).map((choice) => choice.bound);
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

/**
 * Cheapest sums of one cost a level. A partial choice stays only where the fastest rest keeps it within the budget;
 * `leastDropped` is what the cheapest choice costs of those that the beam had no room for.
 */
function joinLevels(
  model: PlacementModel,
  costs: readonly (readonly number[])[],
): { readonly choices: readonly PartialChoice[]; readonly leastDropped: number } {
  const fastest = model.levels.map((level) =>
    level.countsForLatency ? Math.min(...level.options.map((option) => option.latencyMs)) : 0,
  );
  let restMs = fastest.reduce((sum, ms) => sum + ms, 0);
  let restCost = costs.reduce((sum, each) => sum + Math.min(...each), 0);
  let leastDropped = Number.POSITIVE_INFINITY;
  let partials: PartialChoice[] = [{ options: [], cost: 0, latencyMs: 0 }];
  for (const [k, level] of model.levels.entries()) {
    restMs -= fastest[k] ?? 0;
    restCost -= Math.min(...(costs[k] ?? []));
    const next: PartialChoice[] = [];
    for (const partial of partials) {
      for (const [p, option] of level.options.entries()) {
        const latencyMs = partial.latencyMs + (level.countsForLatency ? option.latencyMs : 0);
        if (latencyMs + restMs > model.latencyBudgetMs * (1 + 1e-9)) continue;
        next.push({ options: [...partial.options, p], cost: partial.cost + (costs[k]?.[p] ?? 0), latencyMs });
      }
    }
    next.sort((a, b) => a.cost - b.cost || a.latencyMs - b.latencyMs);
    const dropped = next[BEAM];
    if (dropped !== undefined) leastDropped = Math.min(leastDropped, dropped.cost + restCost);
    partials = next.slice(0, BEAM);
  }
  return { choices: partials, leastDropped };
}
