/** Devices of one class, each for one stage: the exact answer, in milliseconds for any number of devices. */
import { type Bin, type Layout, unitsOf } from "./layout.ts";
import type { ModelOption, PlacementModel } from "./model.ts";

const HALVINGS = 200;

/** A choice of options for the first levels, and what it takes. */
interface PartialChoice {
  readonly options: readonly number[];
  readonly devices: number;
  readonly latencyMs: number;
  readonly watts: number;
}

/** The one class that has devices; null: none, or several. */
export function onlyClass(model: PlacementModel): number | null {
  const used = model.classes.flatMap((each, c) => (each.devices.length > 0 ? [c] : []));
  return used.length === 1 ? (used[0] ?? null) : null;
}

/**
 * Throughput: the highest rate at which the sum over stages of ceil(rate x load / cap) devices suffices, by bisection.
 * Energy: the choice with the fewest watts at the model's rate. `bound` is any rate that cannot be reached. null: too few
 * devices, or several classes.
 */
export function placeHomogeneous(model: PlacementModel, bound: number): Layout | null {
  const c = onlyClass(model);
  if (c === null) return null;
  const available = model.classes[c]?.devices.length ?? 0;
  const at = (rate: number): PartialChoice | null => fewestDevices(model, c, rate, available);
  if (model.objective === "energy") return layoutOf(model, c, model.rate, at(model.rate));
  let low = 0;
  let high = bound * (1 + 1e-9);
  if (at(low) === null) return null;
  for (let i = 0; i < HALVINGS && high - low > high * 1e-13; i++) {
    const middle = (low + high) / 2;
    if (at(middle) === null) high = middle;
    else low = middle;
  }
  return layoutOf(model, c, low, at(low));
}

/** null: no choice within the latency budget needs as few devices as there are. */
function fewestDevices(model: PlacementModel, c: number, rate: number, available: number): PartialChoice | null {
  const isEnergy = model.objective === "energy";
  let partials: PartialChoice[] = [{ options: [], devices: 0, latencyMs: 0, watts: 0 }];
  for (const level of model.levels) {
    const next: PartialChoice[] = [];
    for (const [p, option] of level.options.entries()) {
      const counts = countsOf(model, option, c, rate, level.copies);
      if (counts === null) continue;
      const own = counts.reduce((sum, count) => sum + count, 0);
      const joules = option.stages.reduce((sum, stage) => sum + (stage[c]?.joules ?? 0), 0);
      const watts = isEnergy ? own * (model.classes[c]?.keptWatts ?? 0) + rate * joules : 0;
      for (const partial of partials) {
        const devices = partial.devices + own;
        const latencyMs = partial.latencyMs + (level.countsForLatency ? option.latencyMs : 0);
        if (devices > available || latencyMs > model.latencyBudgetMs * (1 + 1e-12)) continue;
        next.push({ options: [...partial.options, p], devices, latencyMs, watts: partial.watts + watts });
      }
    }
    partials = undominated(next);
  }
  return partials[0] ?? null;
}

/** Sorted by watts, then devices, then latency; without those that another one beats in all three. */
function undominated(partials: readonly PartialChoice[]): PartialChoice[] {
  const kept: PartialChoice[] = [];
  const sorted = [...partials].sort((a, b) => a.watts - b.watts || a.devices - b.devices || a.latencyMs - b.latencyMs);
  for (const partial of sorted) {
    if (kept.some((each) => each.devices <= partial.devices && each.latencyMs <= partial.latencyMs)) continue;
    kept.push(partial);
  }
  return kept;
}

function countsOf(
  model: PlacementModel,
  option: ModelOption,
  c: number,
  rate: number,
  copies: number,
): number[] | null {
  const counts: number[] = [];
  for (const stage of option.stages) {
    const cost = stage[c];
    if (cost === null || cost === undefined) return null;
    counts.push(Math.max(copies, Math.ceil((rate * cost.loadSeconds) / model.utilisationCap - 1e-9)));
  }
  return counts;
}

function layoutOf(model: PlacementModel, c: number, rate: number, partial: PartialChoice | null): Layout | null {
  if (partial === null) return null;
  const counts = model.levels.flatMap((level, k) => {
    const option = level.options[partial.options[k] ?? 0];
    return option === undefined ? [] : (countsOf(model, option, c, rate, level.copies) ?? []);
  });
  const bins = counts.map((count, u): Bin => ({ classIndex: c, units: [u], count }));
  const unused = (model.classes[c]?.devices.length ?? 0) - partial.devices;
  if (unused > 0) bins.unshift({ classIndex: c, units: [], count: unused });
  return { choice: partial.options, units: unitsOf(model, partial.options), bins };
}
