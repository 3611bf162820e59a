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
  /** Borders of the box of rows that is being followed; the whole table between evaluations. */
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
    this.#low = new Int32Array(gates);
    this.#high = Int32Array.from(this.#sizes, (size) => size - 1);
    this.#count(outcomes);
    this.#sumUp();
  }

  /** Mean outcome of gates given as cuts, written into `into`. */
  evaluate(cuts: readonly GateCuts[], into: CellOutcome): void {
    into.accuracy = 0;
    into.harm = 0;
    into.cost = 0;
    this.#enter(this.#entry(cuts), cuts, 0, into);
    const n = Math.max(1, this.#rows);
    into.accuracy /= n;
    into.harm /= n;
    into.cost /= n;
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

  /** `entryLevel` of the gates that cuts stand for. */
  #entry(cuts: readonly GateCuts[]): number {
    let level = 0;
    for (let own = cuts[0]; own !== undefined; own = cuts[level]) {
      const never = (this.#sizes[level] ?? 1) - 1;
      const sorting = own.slice(0, this.#levels - 1 - level);
      const sent = sorting.filter((border) => border === never).length;
      const isBanded = this.#hopeless !== null && (own[sorting.length] ?? 0) >= 2;
      if (sent === 0 || isBanded || sent < sorting.filter((border) => border > 0).length) break;
      level += sent;
    }
    return Math.min(level, cuts.length);
  }

  /** Follows the rows of the box that enter a level to where they stop; `costBefore`: what each has cost so far. */
  #enter(level: number, cuts: readonly GateCuts[], costBefore: number, into: CellOutcome): void {
    const cost = costBefore + (this.#costs[level] ?? 0);
    const last = this.#levels - 1;
    if (level === last) {
      this.#stop(level, cost, into);
      return;
    }
    const own = cuts[level] ?? [];
    const band = this.#hopeless === null ? 0 : (own[last - level] ?? 0);
    const below = band < 2 ? 0 : band;
    const send = (low: number, high: number, next: number) => {
      if (low >= high) return;
      this.#low[level] = low;
      this.#high[level] = high;
      if (next === level) this.#stop(level, cost, into);
      else this.#enter(next, cuts, cost, into);
    };
    let high = (this.#sizes[level] ?? 1) - 1;
    for (let next = level; next <= last; next++) {
      const low = next === last ? 0 : (own[next - level] ?? 0);
      send(Math.max(low, below), high, next);
      // Rows without a finite confidence are in no band that accepts.
      if (low === 0 && high > 0 && below > 0) send(0, 1, this.#hopeless === "last" ? last : next);
      high = low;
    }
    send(1, below, this.#hopeless === "last" ? last : level);
    this.#low[level] = 0;
    this.#high[level] = (this.#sizes[level] ?? 1) - 1;
  }

  /** Counts the rows of the box, answered by `level` at `cost` each; sums at border 0 are empty, so such corners are. */
  #stop(level: number, cost: number, into: CellOutcome): void {
    const dimensions = this.#low.length;
    let rows = 0;
    for (let corner = 0; corner < 1 << dimensions; corner++) {
      let at = 0;
      let sign = 1;
      let isEmpty = false;
      for (let k = 0; k < dimensions && !isEmpty; k++) {
        const isLow = ((corner >> k) & 1) === 1;
        const border = (isLow ? this.#low[k] : this.#high[k]) ?? 0;
        if (isLow) sign = -sign;
        isEmpty = border === 0;
        at += border * (this.#strides[k] ?? 0);
      }
      if (isEmpty) continue;
      rows += sign * (this.#sums[at] ?? 0);
      into.accuracy += sign * (this.#sums[at + 1 + level] ?? 0);
      if (level < dimensions) into.harm += sign * (this.#sums[at + 1 + this.#levels + level] ?? 0);
    }
    into.cost += rows * cost;
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
