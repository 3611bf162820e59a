/** First copies: every stage on as many devices as it must have, where memory allows. */
import { type Bin, binMemory, changeOne, copiesOf, type Unit } from "./layout.ts";
import type { PlacementModel } from "./model.ts";

/** Steps of the search before it gives up; small problems are decided before. */
const SEARCH_STEPS = 20_000;

/**
 * Adds what is missing: largest stages first, onto the device that `hosts` names first, going back where that leads
 * nowhere. `jitter` in [0, 1) multiplies a stage's rank by up to 1 + jitter, for other starts. null: does not fit (proved,
 * unless the search ran out of steps).
 */
export function packMissing(
  model: PlacementModel,
  units: readonly Unit[],
  bins: readonly Bin[],
  jitter: () => number,
): Bin[] | null {
  const missing = units.flatMap((unit, u) => {
    const count = Math.max(0, unit.copies - copiesOf(bins, u));
    const rank = Math.min(...unit.on.map((cost) => cost?.memoryBytes ?? Number.POSITIVE_INFINITY)) * (1 + jitter());
    return Array.from({ length: count }, () => ({ u, rank }));
  });
  missing.sort((a, b) => b.rank - a.rank || a.u - b.u);
  let steps = 0;
  const place = (at: number, placed: readonly Bin[]): Bin[] | null => {
    const unit = missing[at]?.u;
    if (unit === undefined) return [...placed];
    for (const b of hosts(model, units, placed, unit)) {
      if (++steps > SEARCH_STEPS) return null;
      const found = place(at + 1, changeOne(placed, b, [...(placed[b]?.units ?? []), unit]));
      if (found !== null) return found;
    }
    return null;
  };
  return place(0, bins);
}

/** Whether one more unit may go to a device of the bin. */
export function fits(model: PlacementModel, units: readonly Unit[], bin: Bin, unit: number): boolean {
  const cost = units[unit]?.on[bin.classIndex];
  if (cost === null || cost === undefined || bin.units.includes(unit)) return false;
  const room = (model.classes[bin.classIndex]?.memoryBytes ?? 0) * (1 + 1e-12);
  return binMemory(units, bin) + cost.memoryBytes <= room;
}

/** Bins that can take the unit, the one that stays least loaded first; to save energy, devices in use come before others. */
function hosts(model: PlacementModel, units: readonly Unit[], bins: readonly Bin[], unit: number): number[] {
  const loadOf = (bin: Bin): number =>
    [...bin.units, unit].reduce((sum, u) => sum + (units[u]?.on[bin.classIndex]?.loadSeconds ?? 0), 0);
  const costOf = (bin: Bin): number =>
    model.objective === "energy" && bin.units.length === 0 ? 1 + (model.classes[bin.classIndex]?.keptWatts ?? 0) : 0;
  return bins
    .map((bin, b) => ({ b, bin }))
    .filter(({ bin }) => fits(model, units, bin, unit))
    .map(({ b, bin }) => ({ b, cost: costOf(bin), load: loadOf(bin) }))
    .sort((x, y) => x.cost - y.cost || x.load - y.load || x.b - y.b)
    .map(({ b }) => b);
}
