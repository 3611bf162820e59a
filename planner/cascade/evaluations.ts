/** The space that a threshold search walks, and the gates it has looked at. */
import type { CellOutcome, CellTable, GateCuts, HopelessAction } from "./cell-table.ts";
import { paretoFront } from "./front.ts";

/** `searched`: skip cuts are searched; `uniform`: fixed equal parts of [0, accept), the prototype's; `none`: no skips. */
export type SkipMode = "searched" | "uniform" | "none";

export interface SearchOptions {
  /** Cost of one row at each level. */
  readonly costs: readonly number[];
  readonly skips: SkipMode;
  readonly hopeless: HopelessAction;
  readonly seed: number;
}

/** Gates kept before those that are on no front are dropped: a million of them would take a gigabyte. */
const MOST_KEPT = 1 << 16;

/** Looked-at gates with their outcomes; appends are cheap, a front is taken at the end. */
export class Evaluations {
  readonly table: CellTable;
  #cuts: GateCuts[][] = [];
  #costs: number[] = [];
  #errors: number[] = [];
  #harms: number[] = [];
  #count = 0;
  readonly #outcome: CellOutcome = { accuracy: 0, harm: 0, cost: 0 };

  constructor(table: CellTable) {
    this.table = table;
  }

  /** Gates looked at, dropped ones included. */
  get count(): number {
    return this.#count;
  }

  /** Evaluates and keeps gates; the result is overwritten by the next call. */
  add(cuts: readonly GateCuts[]): Readonly<CellOutcome> {
    this.table.evaluate(cuts, this.#outcome);
    this.#cuts.push([...cuts]);
    this.#costs.push(this.#outcome.cost);
    this.#errors.push(1 - this.#outcome.accuracy);
    this.#harms.push(this.#outcome.harm);
    this.#count++;
    if (this.#cuts.length >= MOST_KEPT) this.#drop();
    return this.#outcome;
  }

  /** Cuts on the front of cost and error, and on that of cost and harm, ascending cost. */
  fronts(): { byError: GateCuts[][]; byHarm: GateCuts[][] } {
    const pick = (front: readonly number[]) => front.map((i) => this.#cuts[i] as GateCuts[]); // positions of the cuts
    const { byError, byHarm } = this.#positions();
    return { byError: pick(byError), byHarm: pick(byHarm) };
  }

  #positions(): { byError: number[]; byHarm: number[] } {
    const costs = Float64Array.from(this.#costs);
    return {
      byError: paretoFront(costs, Float64Array.from(this.#errors)),
      byHarm: paretoFront(costs, Float64Array.from(this.#harms)),
    };
  }

  /** Keeps the fronts, in the order of adding, so that ties still go to the first. */
  #drop(): void {
    const { byError, byHarm } = this.#positions();
    const kept = [...new Set([...byError, ...byHarm])].sort((a, b) => a - b);
    const pick = (values: readonly number[]) => kept.map((i) => values[i] ?? 0);
    this.#cuts = kept.map((i) => this.#cuts[i] as GateCuts[]); // as above
    this.#costs = pick(this.#costs);
    this.#errors = pick(this.#errors);
    this.#harms = pick(this.#harms);
  }
}

/**
 * The prototype's cuts: [0, accept) in equal parts, the top one to the next level, the lowest to the last; rounded to the
 * borders of cells. `skippable`: levels that may be skipped.
 */
export function uniformCuts(borders: readonly number[], accept: number, skippable: number): number[] {
  const top = Math.min(1, borders[accept] ?? 1);
  const cuts = [accept];
  for (let i = 1; i <= skippable; i++) {
    const wanted = (top * (skippable + 1 - i)) / (skippable + 1);
    let border = 1;
    while (border < accept && (borders[border + 1] ?? 2) <= wanted) border++;
    cuts.push(border);
  }
  return cuts;
}
