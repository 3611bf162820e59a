/** Placement by rule: first copies, fill by the prices of the exact load balance, then ruin and refill one device. */
import { seededRandom } from "../cascade/random.ts";
import {
  type Balance,
  type Bin,
  balanceLayout,
  changeOne,
  copiesOf,
  emptyBins,
  joinBins,
  type Layout,
  unitsOf,
} from "./layout.ts";
import type { PlacementModel } from "./model.ts";
import { fits, packMissing } from "./pack.ts";

/** A layout and what it is worth. */
export interface Placed {
  readonly layout: Layout;
  readonly balance: Balance;
}

export interface SearchEffort {
  /** Other first copies and orders, each improved by itself. */
  readonly starts: number;
  /** Whole passes over the devices without any gain that end a start. */
  readonly passes: number;
  /** About how many floating-point operations it may take: unlike time the same on every machine. */
  readonly operations: number;
  /** Nothing better than this can be: requests a second or watts. */
  readonly bound: number;
}

/** What a search goes through the problem with. */
interface Search {
  readonly model: PlacementModel;
  readonly random: () => number;
  readonly effort: SearchEffort;
  operationsLeft: number;
}

/** Less than this share of a value is no gain. */
const TOLERANCE = 1e-7;
/** Copies tried with an exact balance at each step of filling. */
const TRIED = 3;
const SEED = 1;

/** Best layout found for one choice of options; null: the first copies do not fit. Same input, same layout. */
export function placeByRule(model: PlacementModel, choice: readonly number[], effort: SearchEffort): Placed | null {
  const units = unitsOf(model, choice);
  let best: Placed | null = null;
  for (let start = 0; start < effort.starts; start++) {
    const search = newSearch(model, effort, start);
    const packed = packMissing(model, units, emptyBins(model), start === 0 ? () => 0 : search.random);
    if (packed === null) continue;
    const filled = fill(search, { choice, units, bins: packed }, start === 0 ? null : search.random);
    const placed = ruinAndRefill(search, filled);
    if (best === null || isBetter(model, placed, best)) best = placed;
    if (isAtBound(search, best)) break;
  }
  return best;
}

/** Fill, ruin and refill from a layout that came from elsewhere. */
export function improve(model: PlacementModel, layout: Layout, effort: SearchEffort): Placed {
  const search = newSearch(model, effort, 0);
  return ruinAndRefill(search, fill(search, layout, null));
}

function newSearch(model: PlacementModel, effort: SearchEffort, start: number): Search {
  return { model, random: seededRandom(SEED + start), effort, operationsLeft: effort.operations / effort.starts };
}

/** Within the gap that solvers may leave too. */
function isAtBound({ model, effort }: Search, { balance }: Placed): boolean {
  const gap = Math.max(model.relativeGap / 4, TOLERANCE);
  if (model.objective === "throughput") return balance.rate >= effort.bound * (1 - gap);
  return balance.rate >= model.rate * (1 - TOLERANCE) && balance.watts <= effort.bound * (1 + gap);
}

/** Whether `a` is worth more: it serves more, or as much with fewer watts, or the same with fewer devices. */
export function isBetter(model: PlacementModel, a: Placed, b: Placed): boolean {
  const byRate = compare(a.balance.rate, b.balance.rate);
  if (byRate !== 0) return byRate > 0;
  if (model.objective === "energy") {
    const byWatts = compare(b.balance.watts, a.balance.watts);
    if (byWatts !== 0) return byWatts > 0;
  }
  return usedDevices(a.layout) < usedDevices(b.layout);
}

export function usedDevices(layout: Layout): number {
  return layout.bins.reduce((sum, bin) => sum + (bin.units.length === 0 ? 0 : bin.count), 0);
}

export function evaluate(model: PlacementModel, layout: Layout): Placed {
  return { layout, balance: balanceLayout(model, layout, true) };
}

/** Ruins one device after the other and fills again, as long as that helps. Equal layouts are taken half of the time. */
function ruinAndRefill(search: Search, from: Placed): Placed {
  const { model, random, effort } = search;
  let best = dropIdle(model, from);
  let current = best;
  for (let idle = 0; idle < effort.passes && !isAtBound(search, best); ) {
    let isGain = false;
    for (const move of moves(model, current, random)) {
      if (search.operationsLeft <= 0 || isAtBound(search, best)) return best;
      const next = ruin(search, current, move);
      if (next === null) continue;
      if (isBetter(model, next, best)) {
        best = next;
        current = next;
        isGain = true;
      } else if (!isBetter(model, current, next) && random() < 0.5) {
        current = next;
      }
    }
    idle = isGain ? 0 : idle + 1;
  }
  return best;
}

/** Pivots of the balance are about as many as its rows, and each goes over all cells. */
function evaluateCounted(search: Search, layout: Layout): Placed {
  const rows = layout.units.length + layout.bins.length;
  const columns = rows + layout.bins.reduce((sum, bin) => sum + bin.units.length, 0);
  search.operationsLeft -= rows * rows * columns;
  return evaluate(search.model, layout);
}

/** Adds copies while the prices of the balance say that one can help; `random` picks among the good ones, null the best. */
function fill(search: Search, layout: Layout, random: (() => number) | null): Placed {
  const { model } = search;
  let placed = evaluateCounted(search, layout);
  for (;;) {
    if (search.operationsLeft <= 0) return placed;
    if (model.objective === "energy" && placed.balance.rate >= model.rate * (1 - TOLERANCE)) return placed;
    const candidates = candidateCopies(model, placed);
    if (candidates.length === 0) return placed;
    const skip = random === null || random() < 0.5 ? 0 : Math.floor(random() * candidates.length);
    const tried = candidates.slice(skip, skip + TRIED).map(({ b, unit }) => {
      const units = [...(placed.layout.bins[b]?.units ?? []), unit];
      return evaluateCounted(search, { ...placed.layout, bins: changeOne(placed.layout.bins, b, units) });
    });
    // Equal values are taken: two copies may help together where neither does alone.
    placed = tried.reduce((a, b) => (isBetter(model, b, a) ? b : a));
  }
}

interface Candidate {
  readonly b: number;
  readonly unit: number;
  readonly score: number;
}

/** Copies whose price says that they may help, most promising first. */
function candidateCopies(model: PlacementModel, { layout, balance }: Placed): Candidate[] {
  const found: Candidate[] = [];
  for (const [b, bin] of layout.bins.entries()) {
    const binPrice = balance.binPrices[b] ?? 0;
    for (const [unit, { on }] of layout.units.entries()) {
      const cost = on[bin.classIndex];
      if (cost === null || cost === undefined || !fits(model, layout.units, bin, unit)) continue;
      const gain = (balance.unitPrices[unit] ?? 0) / cost.loadSeconds - binPrice;
      if (gain <= TOLERANCE * (binPrice + gain)) continue;
      found.push({ b, unit, score: gain / costPerSecond(model, bin, cost.joules / cost.loadSeconds) });
    }
  }
  return found.sort((x, y) => y.score - x.score || x.unit - y.unit || x.b - y.b);
}

/** Watts of a device second at full use; 1 where energy is not the objective. A device in use costs no idle watts more. */
function costPerSecond(model: PlacementModel, bin: Bin, activeWatts: number): number {
  if (model.objective !== "energy") return 1;
  const kept = bin.units.length === 0 ? (model.classes[bin.classIndex]?.keptWatts ?? 0) : 0;
  return Math.max(kept + activeWatts, Number.MIN_VALUE);
}

/** Devices to ruin, one of each bin, and the unit that the first of them gets before anything else; -1: none. */
interface Move {
  readonly bins: readonly Bin[];
  readonly unit: number;
}

/** Each device alone, with another one (what no single one can change), and for each unit that limits the rate. */
function moves(model: PlacementModel, { layout, balance }: Placed, random: () => number): Move[] {
  const used = shuffled(
    layout.bins.filter((bin) => bin.units.length > 0),
    random,
  );
  const pairs = used.flatMap((bin) => {
    const other = used[Math.floor(random() * used.length)];
    return other === undefined ? [] : [{ bins: [bin, other], unit: -1 }];
  });
  const wanted = layout.units.flatMap((_, unit) => {
    if ((balance.unitPrices[unit] ?? 0) <= TOLERANCE) return [];
    const hosts = used.filter(
      (bin) => !bin.units.includes(unit) && fits(model, layout.units, { ...bin, units: [] }, unit),
    );
    return hosts.map((bin) => ({ bins: [bin], unit }));
  });
  return [
    ...used.map((bin) => ({ bins: [bin], unit: -1 })),
    ...pairs,
    ...shuffled(wanted, random).slice(0, used.length),
  ];
}

/** The devices lose their copies; what must be somewhere is packed again, then the rest is filled. */
function ruin(search: Search, from: Placed, move: Move): Placed | null {
  const { model, random } = search;
  const { layout } = from;
  let bins = layout.bins;
  for (const [i, bin] of move.bins.entries()) {
    const b = bins.findIndex((each) => sameBin(each, bin));
    // The layout has moved on since the move was thought of.
    if (b < 0) return null;
    bins = changeOne(bins, b, i === 0 && move.unit >= 0 ? [move.unit] : []);
  }
  const refill = (empty: readonly Bin[]): Placed | null => {
    const packed = packMissing(model, layout.units, empty, random);
    if (packed === null) return null;
    return dropIdle(model, fill(search, { ...layout, bins: packed }, random() < 0.5 ? null : random));
  };
  const saved = move.bins[0]?.classIndex;
  if (model.objective === "energy" && move.unit < 0 && saved !== undefined) {
    // To save a device, the others must do without it first.
    const placed = refill(bins.map((bin) => takeEmpty(bin, saved)).filter((bin) => bin.count > 0));
    if (placed !== null) {
      const whole = joinBins([...placed.layout.bins, { classIndex: saved, units: [], count: 1 }]);
      const back = evaluate(model, { ...placed.layout, bins: whole });
      if (!isBetter(model, from, back)) return back;
    }
  }
  return refill(bins);
}

function takeEmpty(bin: Bin, classIndex: number): Bin {
  return bin.classIndex === classIndex && bin.units.length === 0 ? { ...bin, count: bin.count - 1 } : bin;
}

function sameBin(a: Bin, b: Bin): boolean {
  return (
    a.classIndex === b.classIndex && a.units.length === b.units.length && a.units.every((u, i) => u === b.units[i])
  );
}

/** Takes copies away that carry nothing and need not be there: their memory is free for better ones. */
export function dropIdle(model: PlacementModel, placed: Placed): Placed {
  let bins = placed.layout.bins;
  for (const [b, bin] of placed.layout.bins.entries()) {
    const idle = bin.units.filter((_, i) => (placed.balance.flows[b]?.[i] ?? 0) <= TOLERANCE * placed.balance.rate);
    const dropped = idle.filter((u) => copiesOf(bins, u) - bin.count >= (placed.layout.units[u]?.copies ?? 1));
    if (dropped.length === 0) continue;
    const kept = bin.units.filter((u) => !dropped.includes(u));
    bins = joinBins([...bins.filter((each) => !sameBin(each, bin)), { ...bin, units: kept }]);
  }
  return bins === placed.layout.bins ? placed : evaluate(model, { ...placed.layout, bins });
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const a = result[i];
    const b = result[j];
    if (a !== undefined && b !== undefined) [result[i], result[j]] = [b, a];
  }
  return result;
}

function compare(a: number, b: number): number {
  const scale = Math.max(Math.abs(a), Math.abs(b));
  return Math.abs(a - b) <= TOLERANCE * scale ? 0 : a - b;
}
