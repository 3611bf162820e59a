/** A mixed integer linear program as plain sparse data, and what solves one. */

/** `sense` of cost . x under rowLower <= A x <= rowUpper and lower <= x <= upper; rows are stored one after another. */
export interface MilpProblem {
  readonly sense: "maximise" | "minimise";
  readonly cost: readonly number[];
  readonly lower: readonly number[];
  readonly upper: readonly number[];
  readonly isInteger: readonly boolean[];
  /** Row i holds entries rowStarts[i] to rowStarts[i + 1] of `columns` and `values`. */
  readonly rowStarts: readonly number[];
  readonly columns: readonly number[];
  readonly values: readonly number[];
  readonly rowLower: readonly number[];
  readonly rowUpper: readonly number[];
}

export interface MilpOptions {
  /** Stop when (bound - value) / value is at most this. */
  readonly relativeGap: number;
  /** Stop after so many nodes of the search tree: unlike time the same on every machine. */
  readonly nodeLimit: number;
  /** Safety net; a result that it ended is marked, because another run may end elsewhere. */
  readonly timeLimitMs: number;
  /** A feasible point to start from, one value a column. */
  readonly start: readonly number[] | null;
}

export interface MilpSolution {
  /** One value a column; null: no point was found, or there is none. */
  readonly values: readonly number[] | null;
  readonly objective: number;
  /** No point is better than this. */
  readonly bound: number;
  readonly isInfeasible: boolean;
  readonly isTimeLimited: boolean;
  readonly solverMs: number;
}

export interface MilpSolver {
  /** Rejects with INTERNAL when the solver fails, CANCELLED when it was stopped. */
  solve(problem: MilpProblem, options: MilpOptions): Promise<MilpSolution>;
}

export type Term = readonly [column: number, value: number];

/** Collects columns and rows of a problem. */
export class MilpBuilder {
  readonly #cost: number[] = [];
  readonly #lower: number[] = [];
  readonly #upper: number[] = [];
  readonly #isInteger: boolean[] = [];
  readonly #rowStarts: number[] = [0];
  readonly #columns: number[] = [];
  readonly #values: number[] = [];
  readonly #rowLower: number[] = [];
  readonly #rowUpper: number[] = [];

  get columnCount(): number {
    return this.#cost.length;
  }

  /** Adds a column from 0 to `upper`; its index. */
  column(cost: number, upper: number, kind: "integer" | "real"): number {
    this.#cost.push(cost);
    this.#lower.push(0);
    this.#upper.push(upper);
    this.#isInteger.push(kind === "integer");
    return this.#cost.length - 1;
  }

  atMost(terms: readonly Term[], limit: number): void {
    this.#row(terms, Number.NEGATIVE_INFINITY, limit);
  }

  atLeast(terms: readonly Term[], limit: number): void {
    this.#row(terms, limit, Number.POSITIVE_INFINITY);
  }

  equal(terms: readonly Term[], value: number): void {
    this.#row(terms, value, value);
  }

  build(sense: MilpProblem["sense"]): MilpProblem {
    return {
      sense,
      cost: this.#cost,
      lower: this.#lower,
      upper: this.#upper,
      isInteger: this.#isInteger,
      rowStarts: this.#rowStarts,
      columns: this.#columns,
      values: this.#values,
      rowLower: this.#rowLower,
      rowUpper: this.#rowUpper,
    };
  }

  #row(terms: readonly Term[], lower: number, upper: number): void {
    for (const [column, value] of terms) {
      this.#columns.push(column);
      this.#values.push(value);
    }
    this.#rowStarts.push(this.#columns.length);
    this.#rowLower.push(lower);
    this.#rowUpper.push(upper);
  }
}
