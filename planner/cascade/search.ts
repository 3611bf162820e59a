/**
 * Searches thresholds on the tune split (hybridserve.md 3.3): exactly for two and three levels, by the cross-entropy
 * method with a polish of coordinates for more. Deterministic.
 */
import { lastLevelOnlyPoint } from "../../scheduler/cascade/policy.ts";
import { CellTable, type GateCuts } from "./cell-table.ts";
import { crossEntropySearch } from "./cross-entropy.ts";
import { evaluateGates } from "./evaluate.ts";
import { Evaluations, type SearchOptions, type SkipMode, uniformCuts } from "./evaluations.ts";
import type { GateOutcome, LevelOutcomes } from "./outcomes.ts";

export interface SearchResult {
  /** Front of cost and accuracy, ascending cost: the threshold performance graph. */
  readonly graph: readonly GateOutcome[];
  /** Front of cost and harm, ascending harm; the first is the last level alone, which harms nobody. */
  readonly path: readonly GateOutcome[];
  /** Gates looked at. */
  readonly evaluated: number;
}

/** Quantile cells of each confidence: 64 while every combination is tried, fewer where they are sampled. */
const EXACT_CELLS = 64;
const SAMPLED_CELLS = 28;
const EXACT_LEVELS = 3;

export function searchThresholds(outcomes: LevelOutcomes, options: SearchOptions): SearchResult {
  const levels = outcomes.answers.length;
  const isExact = levels <= EXACT_LEVELS && options.hopeless === null;
  const table = new CellTable(outcomes, options.costs, isExact ? EXACT_CELLS : SAMPLED_CELLS, options.hopeless);
  const evaluations = new Evaluations(table);
  evaluations.add(lastLevelOnly(table, levels));
  if (isExact) for (const cuts of everyCut(table, levels, options.skips)) evaluations.add(cuts);
  else {
    // Sampling may miss what is simple: whatever plain cascades reach, searched skips shall not fall behind.
    if (options.skips === "searched") crossEntropySearch(evaluations, levels, { ...options, skips: "none" });
    crossEntropySearch(evaluations, levels, options);
  }
  const { byError, byHarm } = evaluations.fronts();
  const evaluate = (cuts: readonly GateCuts[]) => evaluateGates(outcomes, table.gates(cuts), options.costs);
  const lastOnly = evaluateGates(outcomes, lastLevelOnlyPoint(levels).gates, options.costs);
  const cheaper = byHarm.map(evaluate).filter((point) => point.cost < lastOnly.cost);
  return {
    graph: byError.map(evaluate),
    path: [lastOnly, ...cheaper.reverse()],
    evaluated: evaluations.count,
  };
}

function lastLevelOnly(table: CellTable, levels: number): GateCuts[] {
  return table.neverBorders.map((never, k) => new Array<number>(levels - 1 - k).fill(never));
}

/** Accepts everything from border 1 on: border 0 would accept rows without a finite confidence too. */
const LOWEST_ACCEPT = 1;

/** Every combination of cuts of two or three levels. */
function* everyCut(table: CellTable, levels: number, skips: SkipMode): Iterable<GateCuts[]> {
  const [first = 0, second = 0] = table.neverBorders;
  for (let accept = LOWEST_ACCEPT; accept <= first; accept++) {
    if (levels === 2) {
      yield [[accept]];
      continue;
    }
    for (const skip of skipBorders(table, accept, skips)) {
      for (let next = LOWEST_ACCEPT; next <= second; next++) yield [[accept, skip], [next]];
    }
  }
}

function skipBorders(table: CellTable, accept: number, skips: SkipMode): number[] {
  if (skips === "none") return [0];
  if (skips === "searched") return Array.from({ length: accept + 1 }, (_, border) => border);
  return uniformCuts(table.borders[0] ?? [], accept, 1).slice(1);
}
