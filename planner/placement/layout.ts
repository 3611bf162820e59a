/** A placement while it is being searched: chosen options, and bins of alike devices with the stages they hold. */
import { type LinearSolution, solveLinearProgram } from "./linear-program.ts";
import type { PlacementModel } from "./model.ts";
import type { StageCost } from "./stage-cost.ts";

/** A stage of the chosen option of a level. */
export interface Unit {
  readonly level: number;
  readonly stage: number;
  /** Least devices that hold it. */
  readonly copies: number;
  /** By class; null: not there. */
  readonly on: readonly (StageCost | null)[];
}

/** `count` devices of one class that hold the same stages. */
export interface Bin {
  readonly classIndex: number;
  /** Indices of units, ascending. */
  readonly units: readonly number[];
  readonly count: number;
}

export interface Layout {
  /** Option of each level. */
  readonly choice: readonly number[];
  readonly units: readonly Unit[];
  /** No two alike, none without devices; unused devices are bins without units. */
  readonly bins: readonly Bin[];
}

/** How much a layout carries, and who carries it. */
export interface Balance {
  /** Requests a second; with the objective `energy` no more than the model's rate. */
  readonly rate: number;
  /** Of the fleet at `rate`; NaN where power is not known. */
  readonly watts: number;
  /** flows[b][i]: requests a second that unit bins[b].units[i] gets there, all devices of the bin together. */
  readonly flows: readonly (readonly number[])[];
  /** By unit: worth of one more request a second of it, as a share of the rate. */
  readonly unitPrices: readonly number[];
  /** By bin: worth of one more device second a second. */
  readonly binPrices: readonly number[];
}

export function unitsOf(model: PlacementModel, choice: readonly number[]): Unit[] {
  return model.levels.flatMap((level, k) =>
    (level.options[choice[k] ?? 0]?.stages ?? []).map((on, stage) => ({ level: k, stage, copies: level.copies, on })),
  );
}

/** All devices, nothing on them. */
export function emptyBins(model: PlacementModel): Bin[] {
  return model.classes.flatMap((each, classIndex) =>
    each.devices.length === 0 ? [] : [{ classIndex, units: [], count: each.devices.length }],
  );
}

/** Joins bins that are alike; order by class, then units. */
export function joinBins(bins: readonly Bin[]): Bin[] {
  const byKey = new Map<string, Bin>();
  for (const bin of bins) {
    if (bin.count === 0) continue;
    const key = `${bin.classIndex}:${bin.units.join(",")}`;
    const known = byKey.get(key);
    byKey.set(key, known === undefined ? bin : { ...bin, count: known.count + bin.count });
  }
  return [...byKey.values()].sort((a, b) => a.classIndex - b.classIndex || compareUnits(a.units, b.units));
}

/** One device of bin `b` gets other units. */
export function changeOne(bins: readonly Bin[], b: number, units: readonly number[]): Bin[] {
  const from = bins[b];
  if (from === undefined) return [...bins];
  const changed: Bin = { classIndex: from.classIndex, units: [...units].sort((x, y) => x - y), count: 1 };
  return joinBins([...bins.map((bin, i) => (i === b ? { ...bin, count: bin.count - 1 } : bin)), changed]);
}

export function binMemory(units: readonly Unit[], bin: Bin): number {
  return bin.units.reduce((sum, u) => sum + (units[u]?.on[bin.classIndex]?.memoryBytes ?? 0), 0);
}

export function copiesOf(bins: readonly Bin[], unit: number): number {
  return bins.reduce((sum, bin) => sum + (bin.units.includes(unit) ? bin.count : 0), 0);
}

/** Watts before anything runs. */
export function keptWatts(model: PlacementModel, bins: readonly Bin[]): number {
  return bins.reduce(
    (sum, bin) => (bin.units.length === 0 ? sum : sum + bin.count * (model.classes[bin.classIndex]?.keptWatts ?? 0)),
    model.unusedWatts,
  );
}

/**
 * The exact best division of the load: an LP over the flow of each unit in each bin. Throughput: the highest rate, among
 * those the least energy; energy: the least energy at the model's rate, or the highest rate where that is out of reach. Then
 * the busiest device is as little busy as can be. `isSearch` leaves out what a search does not look at: the energy of a
 * throughput layout, and how evenly devices are busy.
 */
export function balanceLayout(model: PlacementModel, layout: Layout, isSearch: boolean): Balance {
  const { units, bins } = layout;
  const arcs = bins.flatMap((bin, b) => bin.units.map((u) => ({ b, u, cost: units[u]?.on[bin.classIndex] })));
  const scale = rateScale(model, units, bins);
  const isEnergy = model.objective === "energy";
  // Columns: the rate, one flow an arc, and the share of its time that every device has left.
  const width = arcs.length + 2;
  const rows: Float64Array[] = [];
  const limits: number[] = [];
  const addRow = (limit: number): Float64Array => {
    const row = new Float64Array(width);
    rows.push(row);
    limits.push(limit);
    return row;
  };
  // Row u: rate - sum of the flows of unit u <= 0.
  const unitRows = units.map(() => addRow(0));
  for (const row of unitRows) row[0] = 1;
  // Row b: share of the bin's time that its flows take <= 1.
  const binRows = bins.map((bin) => (bin.units.length === 0 ? null : addRow(1)));
  for (const row of binRows) if (row !== null) row[width - 1] = 1;
  for (const [a, { b, u, cost }] of arcs.entries()) {
    const capacity = (bins[b]?.count ?? 0) * model.utilisationCap;
    const unitRow = unitRows[u];
    const binRow = binRows[b];
    if (unitRow !== undefined) unitRow[a + 1] = -1;
    if (binRow) binRow[a + 1] = ((cost?.loadSeconds ?? 0) * scale) / capacity;
  }
  if (isEnergy) addRow(model.rate / scale)[0] = 1;
  const objectives: number[][] = [Array.from({ length: width }, (_, j) => (j === 0 ? 1 : 0))];
  const joules = arcs.map(({ cost }) => cost?.joules ?? 0);
  const isEnergyKnown = joules.every((each) => Number.isFinite(each));
  if (isEnergyKnown && !(isSearch && !isEnergy)) {
    const most = Math.max(...joules, Number.MIN_VALUE);
    objectives.push([0, ...joules.map((each) => -each / most), 0]);
  }
  if (!isSearch) objectives.push(Array.from({ length: width }, (_, j) => (j === width - 1 ? 1 : 0)));
  const solution = solveLinearProgram({ objectives, rows, limits });
  return readBalance(model, layout, solution, { scale, isKnown: isEnergyKnown });
}

function readBalance(
  model: PlacementModel,
  { units, bins }: Layout,
  { x, prices }: LinearSolution,
  { scale, isKnown }: { readonly scale: number; readonly isKnown: boolean },
): Balance {
  let next = 1;
  let binRow = units.length;
  let watts = keptWatts(model, bins);
  const flows: number[][] = [];
  const binPrices: number[] = [];
  for (const bin of bins) {
    const own = bin.units.map((u) => {
      const flow = (x[next++] ?? 0) * scale;
      watts += flow * (units[u]?.on[bin.classIndex]?.joules ?? 0);
      return flow;
    });
    flows.push(own);
    const capacity = bin.count * model.utilisationCap;
    binPrices.push(bin.units.length === 0 ? 0 : ((prices[binRow++] ?? 0) * scale) / capacity);
  }
  return {
    rate: (x[0] ?? 0) * scale,
    watts: isKnown ? watts : Number.NaN,
    flows,
    unitPrices: units.map((_, u) => prices[u] ?? 0),
    binPrices,
  };
}

/** A rate of the right size, so that the LP's numbers are near 1. */
function rateScale(model: PlacementModel, units: readonly Unit[], bins: readonly Bin[]): number {
  const seconds = units.reduce(
    (sum, unit) => sum + Math.min(...unit.on.map((cost) => cost?.loadSeconds ?? Number.POSITIVE_INFINITY)),
    0,
  );
  const devices = bins.reduce((sum, bin) => sum + bin.count, 0);
  return (devices * model.utilisationCap) / seconds;
}

function compareUnits(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
