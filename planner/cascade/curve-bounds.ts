/**
 * Clopper-Pearson for the whole curve (hybridserve.md 3.3): what each point of a path loses at most, all of them at once.
 * Weaker for one point than the fixed sequence test, but it holds for every point, also after looking at all of them.
 */
import type { Gate } from "../../proto/files/cascade-file.ts";
import { clopperPearsonUpper } from "./binomial.ts";
import type { LevelOutcomes } from "./outcomes.ts";
import { rowLosses } from "./row-losses.ts";

export interface CurveBound {
  readonly gates: readonly Gate[];
  /** Rows that the last level gets right and the cascade wrong, of `samples`. */
  readonly losses: number;
  readonly samples: number;
  /** Upper confidence bound of the share of such rows. */
  readonly harmBound: number;
}

/**
 * One-sided bounds at `risk` / J for the J points of `path` (Bonferroni): with probability 1 - `risk` all of them hold
 * together. Rows count one by one; rows of one group are not independent, so grouped data has no such bounds.
 */
export function curveBounds(
  path: readonly (readonly Gate[])[],
  outcomes: LevelOutcomes,
  risk: number,
): readonly CurveBound[] {
  return path.map((gates) => {
    const losses = rowLosses(outcomes, gates).gap.reduce((sum, gap) => sum + (gap > 0 ? 1 : 0), 0);
    return {
      gates,
      losses,
      samples: outcomes.rows,
      harmBound: clopperPearsonUpper(losses, outcomes.rows, risk / path.length),
    };
  });
}
