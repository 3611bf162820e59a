/** What gates do to the rows of a split, by the function that serves. */
import type { Gate } from "../../proto/files/cascade-file.ts";
import { CONFIDENCE_BINS, confidenceBin } from "../../scheduler/cascade/cascade-statistics.ts";
import { entryLevel, route } from "../../scheduler/cascade/policy.ts";
import type { GateOutcome, LevelOutcomes } from "./outcomes.ts";

/** Sends every row through the gates. `costs`: cost of one row at each level. */
export function evaluateGates(outcomes: LevelOutcomes, gates: readonly Gate[], costs: readonly number[]): GateOutcome {
  const { rows, confidences, correct, answers } = outcomes;
  const last = answers.length - 1;
  const counts = Array.from(answers, () => new Array<number>(answers.length).fill(0));
  const sums = { right: 0, lastRight: 0, harm: 0, disagreement: 0, cost: 0 };
  const histograms = Array.from(answers, () => new Array<number>(CONFIDENCE_BINS).fill(0));
  const entry = entryLevel(gates);
  for (let row = 0; row < rows; row++) {
    let level = entry;
    for (;;) {
      sums.cost += costs[level] ?? 0;
      const gate = gates[level];
      const q = confidences[level]?.[row] ?? Number.NaN;
      const next = gate === undefined ? level : route(q, gate, level, last);
      const histogram = histograms[level] as number[]; // one a level
      const bin = confidenceBin(q);
      if (bin >= 0) histogram[bin] = (histogram[bin] ?? 0) + 1;
      const paths = counts[level] as number[]; // one a level
      paths[next] = (paths[next] ?? 0) + 1;
      if (next === level) break;
      level = next;
    }
    const right = correct[level]?.[row] ?? 0;
    const lastRight = correct[last]?.[row] ?? 0;
    sums.right += right;
    sums.lastRight += lastRight;
    if (lastRight > right) sums.harm++;
    if (answers[level]?.[row] !== answers[last]?.[row]) sums.disagreement++;
  }
  const n = Math.max(1, rows);
  const entered = counts.map((paths) => paths.reduce((sum, count) => sum + count, 0));
  return {
    gates,
    rows,
    accuracy: sums.right / n,
    lastLevelAccuracy: sums.lastRight / n,
    cost: sums.cost / n,
    reach: entered.map((count) => count / n),
    paths: counts.map((paths, k) => paths.map((count) => ((entered[k] ?? 0) === 0 ? 0 : count / (entered[k] ?? 1)))),
    harm: sums.harm / n,
    gap: (sums.lastRight - sums.right) / n,
    disagreement: sums.disagreement / n,
    confidences: histograms.map(sharesOf),
  };
}

function sharesOf(counts: readonly number[]): number[] {
  const sum = counts.reduce((total, count) => total + count, 0);
  return counts.map((count) => (sum === 0 ? 0 : count / sum));
}
