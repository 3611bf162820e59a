/** Placements on the way to the best one: what they are worth and who made them. */
import type { PlanAlgorithm } from "../../proto/files/plan-file.ts";
import { chooseDevices, isSpread } from "./expand.ts";
import { evaluate, isBetter, type Placed } from "./heuristic.ts";
import type { Layout } from "./layout.ts";
import type { PlacementModel } from "./model.ts";
import type { PlacementProblem } from "./problem.ts";

export interface Candidate extends Placed {
  readonly algorithm: PlanAlgorithm;
  /** Units of each device where the very devices matter; null: see `chooseDevices`. */
  readonly pinned: readonly (readonly number[])[] | null;
}

/** Keeps the best candidate that serves what it has to and is spread over failure groups as asked. */
export class BestCandidate {
  readonly #problem: PlacementProblem;
  readonly #model: PlacementModel;
  #best: Candidate | null = null;
  /** Highest rate of any candidate, also of those that serve too little. */
  #mostRate = 0;

  constructor(problem: PlacementProblem, model: PlacementModel) {
    this.#problem = problem;
    this.#model = model;
  }

  get best(): Candidate | null {
    return this.#best;
  }

  get mostRate(): number {
    return this.#mostRate;
  }

  offer(layout: Layout | null, algorithm: PlanAlgorithm, pinned: Candidate["pinned"] = null): void {
    if (layout === null) return;
    const candidate: Candidate = { ...evaluate(this.#model, layout), algorithm, pinned };
    const { objective, rate } = this.#model;
    if (candidate.balance.rate <= 0) return;
    this.#mostRate = Math.max(this.#mostRate, candidate.balance.rate);
    if (objective === "energy" && candidate.balance.rate < rate * (1 - 1e-7)) return;
    if (this.#best !== null && !isBetter(this.#model, candidate, this.#best)) return;
    const held = chooseDevices(this.#problem, this.#model, layout, pinned);
    if (isSpread(this.#problem, layout, held)) this.#best = candidate;
  }

  /** How far the best is from a bound, as a share of the better of both; 1: there is none. */
  gapTo(bound: number): number {
    if (this.#best === null) return 1;
    const { rate, watts } = this.#best.balance;
    const gap = this.#model.objective === "throughput" ? (bound - rate) / bound : (watts - bound) / watts;
    return Math.max(0, Number.isFinite(gap) ? gap : 0);
  }
}
