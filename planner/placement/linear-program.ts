/** A small exact LP solver: dense simplex with several objectives, one after the other. For tens of rows, not thousands. */
import { InferenceError } from "../../proto/errors.ts";

/** Maximise objectives[0] . x, among its optima objectives[1] . x, ... under rows x <= limits and x >= 0. */
export interface LinearProgram {
  readonly objectives: readonly (readonly number[])[];
  readonly rows: readonly ArrayLike<number>[];
  /** At least 0 each, so that x = 0 is feasible. */
  readonly limits: readonly number[];
}

export interface LinearSolution {
  readonly x: Float64Array;
  /** By row: what one more unit of its limit adds to the first objective. */
  readonly prices: Float64Array;
}

const EPSILON = 1e-10;
/** After so many steps without progress the smallest index decides (Bland), which cannot cycle. */
const STALLED_STEPS = 40;

/** Throws INTERNAL where the program is unbounded: every program of the planner is bounded. */
export function solveLinearProgram(program: LinearProgram): LinearSolution {
  const tableau = new Tableau(program);
  tableau.maximise(0);
  const prices = tableau.prices();
  for (let k = 1; k < program.objectives.length; k++) {
    tableau.keepOptimum(k - 1);
    tableau.maximise(k);
  }
  return { x: tableau.solution(), prices };
}

/** Columns: the variables, one slack a row, the limits. Below the rows stands one row of reduced costs an objective. */
class Tableau {
  readonly #rowCount: number;
  readonly #variables: number;
  readonly #width: number;
  readonly #cells: Float64Array;
  readonly #basis: Int32Array;
  /** Columns that may not enter: they would worsen an objective that is done. */
  readonly #isBarred: Uint8Array;
  readonly #objectiveCount: number;

  constructor({ objectives, rows, limits }: LinearProgram) {
    this.#rowCount = rows.length;
    this.#objectiveCount = objectives.length;
    this.#variables = objectives[0]?.length ?? 0;
    this.#width = this.#variables + this.#rowCount + 1;
    this.#cells = new Float64Array((this.#rowCount + objectives.length) * this.#width);
    this.#basis = new Int32Array(this.#rowCount);
    this.#isBarred = new Uint8Array(this.#width);
    for (const [i, row] of rows.entries()) {
      this.#cells.set(row, i * this.#width);
      this.#cells[i * this.#width + this.#variables + i] = 1;
      this.#cells[(i + 1) * this.#width - 1] = limits[i] ?? 0;
      this.#basis[i] = this.#variables + i;
    }
    for (const [k, objective] of objectives.entries()) {
      const start = (this.#rowCount + k) * this.#width;
      for (const [j, value] of objective.entries()) this.#cells[start + j] = -value;
    }
  }

  maximise(objective: number): void {
    let stalled = 0;
    for (;;) {
      const entering = this.#entering(objective, stalled > STALLED_STEPS);
      if (entering < 0) return;
      const leaving = this.#leaving(entering);
      if (leaving < 0) throw new InferenceError("INTERNAL", "the load balance of a placement is unbounded");
      const isStep = this.#at(leaving, this.#width - 1) > EPSILON;
      stalled = isStep ? 0 : stalled + 1;
      this.#pivot(leaving, entering);
    }
  }

  /** Later objectives may only move among the optima of this one. */
  keepOptimum(objective: number): void {
    for (let j = 0; j < this.#width - 1; j++) {
      if (this.#at(this.#rowCount + objective, j) > 1e-9) this.#isBarred[j] = 1;
    }
  }

  prices(): Float64Array {
    const start = this.#rowCount * this.#width + this.#variables;
    return this.#cells.slice(start, start + this.#rowCount);
  }

  solution(): Float64Array {
    const x = new Float64Array(this.#variables);
    for (let i = 0; i < this.#rowCount; i++) {
      const column = this.#basis[i] ?? 0;
      if (column < this.#variables) x[column] = Math.max(0, this.#at(i, this.#width - 1));
    }
    return x;
  }

  #at(row: number, column: number): number {
    return this.#cells[row * this.#width + column] ?? 0;
  }

  #entering(objective: number, isBland: boolean): number {
    let best = -1;
    let least = -EPSILON;
    for (let j = 0; j < this.#width - 1; j++) {
      const cost = this.#at(this.#rowCount + objective, j);
      if (cost >= least || this.#isBarred[j] === 1) continue;
      best = j;
      if (isBland) return best;
      least = cost;
    }
    return best;
  }

  /** Smallest ratio; among equals the smallest basic column, as Bland's rule asks. */
  #leaving(column: number): number {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#rowCount; i++) {
      const cell = this.#at(i, column);
      if (cell <= EPSILON) continue;
      const ratio = this.#at(i, this.#width - 1) / cell;
      const isTie = Math.abs(ratio - least) <= 1e-12;
      if (isTie ? (this.#basis[i] ?? 0) >= (this.#basis[best] ?? 0) : ratio > least) continue;
      best = i;
      least = ratio;
    }
    return best;
  }

  #pivot(row: number, column: number): void {
    const width = this.#width;
    const cells = this.#cells;
    const start = row * width;
    const scale = 1 / this.#at(row, column);
    for (let j = 0; j < width; j++) cells[start + j] = (cells[start + j] ?? 0) * scale;
    for (let i = 0; i < this.#rowCount + this.#objectiveCount; i++) {
      const factor = this.#at(i, column);
      if (i === row || factor === 0) continue;
      const base = i * width;
      for (let j = 0; j < width; j++) cells[base + j] = (cells[base + j] ?? 0) - factor * (cells[start + j] ?? 0);
      cells[base + column] = 0;
    }
    this.#basis[row] = column;
  }
}
