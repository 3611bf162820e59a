/**
 * Rows of a split counted in quantile cells of their confidences, with prefix sums: the outcome of any gates whose cuts
 * are cell borders costs as much as there are ways through the cascade, whatever the number of rows.
 */
import { type Gate, NEVER } from "../../proto/files/cascade-file.ts";
import type { LevelOutcomes } from "./outcomes.ts";

/**
 * Cuts of one gate as border numbers: accept, then the skip cuts, then the hopeless cut where there is one;
 * non-increasing. Border 0 lies below everything, rows without a finite confidence included (as a skip cut: none);
 * border 1 is confidence 0; the highest is `NEVER`.
 */
export type GateCuts = readonly number[];

/** Means over the rows. */
export interface CellOutcome {
  accuracy: number;
  harm: number;
  cost: number;
}

/** What a band of hopeless rows does; null: there is none. */
export type HopelessAction = "accept" | "last" | null;

/** Entries of the whole table at most: what the number of cells is chosen for. */
const MOST_ENTRIES = 4_000_000;

export class CellTable {
  /** borders[k][i]: confidence of level k at border i. */
  readonly borders: readonly (readonly number[])[];
  readonly #levels: number;
  readonly #rows: number;
  readonly #costs: readonly number[];
  readonly #hopeless: HopelessAction;
  readonly #sizes: readonly number[];
  readonly #strides: readonly number[];
  /** Numbers a cell: rows, then rows right at each level, then rows harmed by an answer of each level but the last. */
  readonly #width: number;
  readonly #sums: Float64Array;
  readonly #paths: readonly (readonly number[])[];
  readonly #low: Int32Array;
  readonly #high: Int32Array;

  /** `cells`: quantiles of each confidence, fewer where values repeat or the table would be too large. */
  constructor(outcomes: LevelOutcomes, costs: readonly number[], cells: number, hopeless: HopelessAction) {
    const gates = outcomes.answers.length - 1;
    this.#levels = outcomes.answers.length;
    this.#rows = outcomes.rows;
    this.#costs = costs;
    this.#hopeless = hopeless;
    this.#width = 2 * this.#levels;
    const most = Math.floor((MOST_ENTRIES / this.#width) ** (1 / gates)) - 3;
    this.borders = outcomes.confidences.map((values) => quantileBorders(values, Math.min(cells, Math.max(2, most))));
    this.#sizes = this.borders.map((borders) => borders.length);
    let stride = this.#width;
    this.#strides = this.#sizes.map((size) => {
      const own = stride;
      stride *= size;
      return own;
    });
    this.#sums = new Float64Array(stride);
    this.#paths = waysThrough(this.#levels);
    this.#low = new Int32Array(gates);
    this.#high = new Int32Array(gates);
    this.#count(outcomes);
    this.#sumUp();
  }

  /** Mean outcome of gates given as cuts, written into `into`. */
  evaluate(cuts: readonly GateCuts[], into: CellOutcome): void {
    const last = this.#levels - 1;
    let right = 0;
    let harm = 0;
    let cost = 0;
    for (const path of this.#paths) {
      const stop = path.at(-1) ?? 0;
      const bands = this.#hopeless === "accept" && stop < last ? 2 : 1;
      for (let band = 0; band < bands; band++) {
        if (!this.#box(path, cuts, band === 1)) continue;
        const rows = this.#boxSum(0);
        if (rows === 0) continue;
        for (const level of path) cost += rows * (this.#costs[level] ?? 0);
        right += this.#boxSum(1 + stop);
        if (stop < last) harm += this.#boxSum(1 + this.#levels + stop);
      }
    }
    const n = Math.max(1, this.#rows);
    into.accuracy = right / n;
    into.harm = harm / n;
    into.cost = cost / n;
  }

  /** The gates that cuts stand for. */
  gates(cuts: readonly GateCuts[]): Gate[] {
    return cuts.map((own, k) => {
      const value = (border: number) => this.borders[k]?.[border] ?? NEVER;
      const skips = this.#levels - 2 - k;
      const skip = own.slice(1, 1 + skips).filter((border) => border > 0);
      const below = own[1 + skips] ?? 0;
      const action = this.#hopeless;
      return {
        accept: value(own[0] ?? 0),
        skip: skip.map(value),
        hopeless: action === null || below < 2 ? null : { below: value(below), action },
      };
    });
  }

  /** Highest border of each gate, the one that nothing reaches. */
  get neverBorders(): readonly number[] {
    return this.#sizes.map((size) => size - 1);
  }

  /**
   * Borders of the box of rows that go this way into #low and #high; false where it is empty. `hopeless`: the rows that
   * stop in the last level's hopeless band instead of above its accept cut.
   */
  #box(path: readonly number[], cuts: readonly GateCuts[], hopeless: boolean): boolean {
    for (let k = 0; k < this.#low.length; k++) {
      this.#low[k] = 0;
      this.#high[k] = (this.#sizes[k] ?? 1) - 1;
    }
    for (let i = 0; i < path.length; i++) {
      const level = path[i] as number; // i is in range
      const own = cuts[level];
      if (own === undefined) continue;
      const next = path[i + 1];
      const below = this.#hopelessBorder(level, own);
      let low: number;
      let high: number;
      if (next === undefined) {
        low = hopeless ? 1 : (own[0] ?? 0);
        high = hopeless ? below : (this.#sizes[level] ?? 1) - 1;
      } else {
        const skip = next - level - 1;
        high = own[skip] ?? 0;
        low = next === this.#levels - 1 ? 0 : (own[skip + 1] ?? 0);
        if (below > 1) {
          if (next === this.#levels - 1 && this.#hopeless === "last") high = Math.max(high, below);
          else low = Math.max(low, below);
          if (next === this.#levels - 1 && this.#hopeless === "accept") low = below;
        }
      }
      if (low >= high) return false;
      this.#low[level] = low;
      this.#high[level] = high;
    }
    return true;
  }

  #hopelessBorder(level: number, own: GateCuts): number {
    return this.#hopeless === null ? 0 : (own[this.#levels - 1 - level] ?? 0);
  }

  /** One number summed over the cells of the box. */
  #boxSum(entry: number): number {
    const dimensions = this.#low.length;
    let sum = 0;
    for (let corner = 0; corner < 1 << dimensions; corner++) {
      let at = entry;
      let sign = 1;
      for (let k = 0; k < dimensions; k++) {
        const isLow = (corner >> k) & 1;
        if (isLow === 1) sign = -sign;
        at += (isLow === 1 ? (this.#low[k] ?? 0) : (this.#high[k] ?? 0)) * (this.#strides[k] ?? 0);
      }
      sum += sign * (this.#sums[at] ?? 0);
    }
    return sum;
  }

  /** Puts every row into its cell; the prefix sum at border i holds the cells below it, so cell c is counted at c + 1. */
  #count({ rows, confidences, correct }: LevelOutcomes): void {
    const last = this.#levels - 1;
    for (let row = 0; row < rows; row++) {
      let at = 0;
      for (let k = 0; k < last; k++) {
        const cell = cellOf(confidences[k]?.[row] ?? Number.NaN, this.borders[k] ?? []);
        at += (cell + 1) * (this.#strides[k] ?? 0);
      }
      this.#add(at, 1);
      for (let k = 0; k <= last; k++) if (correct[k]?.[row] === 1) this.#add(at + 1 + k, 1);
      if (correct[last]?.[row] !== 1) continue;
      for (let k = 0; k < last; k++) if (correct[k]?.[row] !== 1) this.#add(at + 1 + this.#levels + k, 1);
    }
  }

  #add(at: number, value: number): void {
    this.#sums[at] = (this.#sums[at] ?? 0) + value;
  }

  #sumUp(): void {
    for (let k = 0; k < this.#strides.length; k++) {
      const stride = this.#strides[k] ?? 1;
      const size = this.#sizes[k] ?? 1;
      for (let at = 0; at < this.#sums.length; at++) {
        if (Math.floor(at / stride) % size > 0) this.#add(at, this.#sums[at - stride] ?? 0);
      }
    }
  }
}

/**
 * Borders of about `cells` cells of equal numbers of rows: [below everything, 0, values, NEVER]. Equal values stay in one
 * cell. Cells go by rank, so a confidence that is saturated near 1 is cut as finely there as a log-odds scale would.
 */
function quantileBorders(values: Float64Array, cells: number): number[] {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  const borders = [Number.NEGATIVE_INFINITY, 0];
  for (let i = 1; i < cells; i++) {
    const value = sorted[Math.floor((i * sorted.length) / cells)] ?? 0;
    if (value > (borders.at(-1) ?? 0)) borders.push(value);
  }
  borders.push(NEVER);
  return borders;
}

/** Number of the cell: the highest border that the confidence reaches; 0 where it is no number. */
function cellOf(confidence: number, borders: readonly number[]): number {
  let low = 0;
  let high = borders.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (confidence >= (borders[middle] ?? 0)) low = middle;
    else high = middle;
  }
  return low;
}

/** Every ascending way from level 0 to the level that answers. */
function waysThrough(levels: number): number[][] {
  const ways: number[][] = [[0]];
  for (let i = 0; i < ways.length; i++) {
    const way = ways[i] as number[]; // i is in range
    for (let next = (way.at(-1) ?? 0) + 1; next < levels; next++) ways.push([...way, next]);
  }
  return ways;
}
