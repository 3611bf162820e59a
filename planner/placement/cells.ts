/** Large fleets: a cell with its share of every class is planned once and copied. */
import type { Placed } from "./heuristic.ts";
import { type Bin, joinBins, type Layout } from "./layout.ts";
import type { PlacementModel } from "./model.ts";

/** Up to so many devices stages are placed together by rule; more are planned as cells. */
export const CELL_DEVICES = 64;

/** The best placement of a smaller model. */
export type PlaceCell = (cell: PlacementModel) => Promise<Placed | null>;

/**
 * Layouts of the whole fleet, none if a cell holds no copy of everything; devices that make no whole cell stay empty.
 * Throughput: all cells alike. Energy: as few cells as serve the rate, and a few more with less to do each.
 */
export async function placeInCells(model: PlacementModel, placeCell: PlaceCell): Promise<Layout[]> {
  const total = model.classes.reduce((sum, each) => sum + each.devices.length, 0);
  const cellCount = Math.ceil(total / CELL_DEVICES);
  const classes = model.classes.map((each) => ({
    ...each,
    devices: each.devices.slice(0, Math.floor(each.devices.length / cellCount)),
  }));
  // Cells stand side by side, so one copy in each is enough for any number of copies.
  const levels = model.levels.map((level) => ({ ...level, copies: 1 }));
  const cell: PlacementModel = { ...model, objective: "throughput", classes, levels, unusedWatts: 0 };
  const full = await placeCell(cell);
  if (full === null) return [];
  if (model.objective === "throughput") return [copyCell(model, full.layout, cellCount)];
  const mostCopies = Math.max(...model.levels.map((level) => level.copies));
  const least = Math.max(mostCopies, Math.ceil((model.rate / full.balance.rate) * (1 - 1e-9)));
  const layouts: Layout[] = [];
  for (const count of new Set([least, least + 1, Math.ceil(least * 1.25)])) {
    if (count > cellCount) continue;
    const placed = await placeCell({ ...cell, objective: "energy", rate: model.rate / count });
    if (placed !== null) layouts.push(copyCell(model, placed.layout, count));
  }
  return layouts;
}

/** The units keep the fleet's number of copies. */
function copyCell(model: PlacementModel, cell: Layout, count: number): Layout {
  const used = cell.bins.filter((bin) => bin.units.length > 0);
  const unused = model.classes.map((each) => each.devices.length);
  const bins = used.map((bin): Bin => {
    unused[bin.classIndex] = (unused[bin.classIndex] ?? 0) - bin.count * count;
    return { ...bin, count: bin.count * count };
  });
  const empty = unused.map((left, classIndex): Bin => ({ classIndex, units: [], count: left }));
  const units = cell.units.map((unit) => ({ ...unit, copies: model.levels[unit.level]?.copies ?? 1 }));
  return { choice: cell.choice, units, bins: joinBins([...bins, ...empty]) };
}
