/** Messages between HighsSolver and its worker thread. */
import type { MilpOptions, MilpProblem, MilpSolution } from "../../planner/placement/milp.ts";

export interface SolveMessage {
  readonly problem: MilpProblem;
  readonly options: MilpOptions;
}

export type SolverReply =
  | ({ readonly type: "progress" } & SolverProgress)
  | { readonly type: "solved"; readonly solution: MilpSolution }
  | { readonly type: "failed"; readonly message: string };

/** How far a running solve is. */
export interface SolverProgress {
  readonly elapsedMs: number;
  readonly nodes: number;
  /** Best value found; null: none yet. */
  readonly value: number | null;
  readonly bound: number | null;
}
