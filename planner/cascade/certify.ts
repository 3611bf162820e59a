/**
 * The statistical promise: thresholds were chosen on one split, a path of them is tested in a fixed order on another
 * that was used for nothing else (fixed sequence testing; hybridserve.md 3.3). The promise holds with probability
 * 1 - risk for every step up to the last that passed, at once.
 */
import type { Certificate, Gate } from "../../proto/files/cascade-file.ts";
import { binomialCdf, clopperPearson, clopperPearsonUpper, samplesNeededAtRate } from "./binomial.ts";
import type { LevelOutcomes } from "./outcomes.ts";
import { rowLosses } from "./row-losses.ts";
import { groupSizes, type RowGroups, testUnits } from "./test-units.ts";
import { bettingPValue, bettingUpperBound } from "./wsr.ts";

export type CertifiedMetric = Certificate["metric"];

export interface CertifyOptions {
  readonly metric: CertifiedMetric;
  /** Largest loss that may be promised. */
  readonly epsilon: number;
  readonly risk: number;
  /** The samples are then groups, weighed by their rows: the mean over rows is bounded still; null: every row is its own. */
  readonly groups: RowGroups | null;
}

/** One tested step of the path. */
export interface CertifiedStep {
  readonly gates: readonly Gate[];
  /** Of "the true loss is above epsilon"; 0 for the last level alone, which loses nothing to itself. */
  readonly pValue: number;
  readonly passed: boolean;
  /** Upper confidence bound of the metric at this risk, for this step alone. */
  readonly bound: number;
  /** Rows or groups tested, the rows they hold, and the rows where the last level is right and the cascade wrong. */
  readonly samples: number;
  readonly rows: number;
  readonly losses: number;
  /** Upper confidence bound of the disagreement with the last level. */
  readonly disagreementBound: number;
}

/** Tests the steps in order until one fails; the failing one is the last of the result. Step 0 is the last level alone. */
export function certifyPath(
  path: readonly (readonly Gate[])[],
  outcomes: LevelOutcomes,
  options: CertifyOptions,
): CertifiedStep[] {
  const steps: CertifiedStep[] = [];
  for (const gates of path) {
    const step = testGates(gates, outcomes, options);
    steps.push(step);
    if (!step.passed) break;
  }
  return steps;
}

/** One test on rows that chose nothing. */
export function testGates(
  gates: readonly Gate[],
  outcomes: LevelOutcomes,
  { metric, epsilon, risk, groups }: CertifyOptions,
): CertifiedStep {
  const { gap, disagrees } = rowLosses(outcomes, gates);
  const losses = count(gap, (value) => value > 0);
  const base = {
    gates,
    losses,
    rows: outcomes.rows,
    disagreementBound: disagreementBound(disagrees, groups, risk),
    samples: groups === null ? outcomes.rows : groupSizes(groups.of).length,
  };
  if (gates.every(neverAccepts)) return { ...base, pValue: 0, passed: true, bound: 0 };
  if (metric === "harm" && groups === null) {
    const pValue = binomialCdf(losses, outcomes.rows, epsilon);
    const bound = clopperPearsonUpper(losses, outcomes.rows, risk);
    return { ...base, pValue, passed: pValue <= risk, bound };
  }
  const { values, weights } = testUnits(gap, groups, metric === "harm" ? toHarm : toUnit);
  const target = metric === "harm" ? epsilon : toUnit(epsilon);
  const pValue = bettingPValue(values, target, risk, weights);
  const upper = bettingUpperBound(values, risk, weights);
  return { ...base, pValue, passed: pValue <= risk, bound: metric === "harm" ? upper : 2 * upper - 1 };
}

/** Name of the test, as the certificate states it; with groups it bounds the mean over rows too. */
export function methodOf(metric: CertifiedMetric, isGrouped: boolean): string {
  if (isGrouped) return "wsr-groups-fixed-sequence";
  return metric === "harm" ? "binomial-fixed-sequence" : "wsr-fixed-sequence";
}

/** What a number of samples can show at best: no loss at all, and for the gap also where 2 % of the answers differ. */
export interface Feasibility {
  readonly samples: number;
  readonly smallestMargin: number;
  readonly marginAtTwoPercentDisagreement: number;
}

/**
 * Told before the long run, so that nobody waits for a certificate that cannot come. Of groups whole ones are taken to
 * differ: the rows of a group are alike.
 */
export function feasibility(
  rows: number,
  metric: CertifiedMetric,
  risk: number,
  groups: RowGroups | null,
): Feasibility {
  if (metric === "harm" && groups === null) {
    const bound = (rate: number) => clopperPearsonUpper(Math.round(rows * rate), rows, risk);
    return { samples: rows, smallestMargin: bound(0), marginAtTwoPercentDisagreement: bound(0.01) };
  }
  const { values: full, weights } = testUnits(new Uint8Array(rows), groups, () => 1);
  const samples = full.length;
  const bound = (every: number) => {
    const values = metric === "harm" ? new Float64Array(samples) : full.map((value) => value / 2);
    for (let i = every - 1, isLoss = false; i < samples; i += every, isLoss = !isLoss) {
      values[i] = isLoss ? (full[i] ?? 0) : 0;
    }
    const upper = bettingUpperBound(values, risk, weights);
    return metric === "harm" ? upper : 2 * upper - 1;
  };
  return { samples, smallestMargin: bound(samples + 1), marginAtTwoPercentDisagreement: bound(50) };
}

/**
 * About how many certify samples (rows, or groups of `groups`) a point needs for this margin, were its losses as frequent
 * there: by the binomial test for harm of rows; else 2 ln(1/risk) var / (epsilon - loss)^2, the growth of the betting
 * capital. Infinity where its loss is not below epsilon.
 */
export function samplesForMargin(
  gates: readonly Gate[],
  outcomes: LevelOutcomes,
  { metric, epsilon, risk, groups }: CertifyOptions,
): number {
  const { gap } = rowLosses(outcomes, gates);
  const { values, weights } = testUnits(gap, groups, metric === "harm" ? toHarm : Number);
  const n = Math.max(1, values.length);
  const meanWeight = weights === undefined ? 1 : weights.reduce((sum, weight) => sum + weight, 0) / n;
  // One more of each than was seen: that none was seen among a few rows does not make it impossible.
  const unseen = metric === "harm" ? [1] : [1, -1];
  const loss = [...values, ...unseen.map((value) => value * meanWeight)].reduce((sum, value) => sum + value, 0) / n;
  const margin = epsilon * meanWeight - loss;
  if (margin <= 0) return Number.POSITIVE_INFINITY;
  if (metric === "harm" && groups === null) return samplesNeededAtRate(loss, epsilon, risk);
  const ratio = loss / meanWeight;
  const squares = values.reduce((sum, value, i) => sum + (value - ratio * (weights?.[i] ?? 1)) ** 2, 0);
  const variance = (squares + unseen.length * meanWeight ** 2) / n;
  const estimate = (2 * Math.log(1 / risk) * variance) / margin ** 2;
  return Math.ceil(Math.max(estimate, samplesNeededAtRate(0, epsilon, risk) / meanWeight));
}

/** Harm within one class of labels, with its 95 % interval. */
export interface ClassHarm {
  readonly label: number;
  readonly rows: number;
  readonly losses: number;
  readonly interval: readonly [number, number];
}

/** Losses by label: .5 % in all can be 5 % in one of ten classes. `labels`: class of each row. */
export function harmByClass(gates: readonly Gate[], outcomes: LevelOutcomes, labels: Int32Array): ClassHarm[] {
  const { gap } = rowLosses(outcomes, gates);
  const counts = new Map<number, { rows: number; losses: number }>();
  labels.forEach((label, row) => {
    const entry = counts.get(label) ?? { rows: 0, losses: 0 };
    entry.rows++;
    if ((gap[row] ?? 0) > 0) entry.losses++;
    counts.set(label, entry);
  });
  return [...counts]
    .sort(([a], [b]) => a - b)
    .map(([label, { rows, losses }]) => ({ label, rows, losses, interval: clopperPearson(losses, rows, 0.05) }));
}

/** By its cuts, whatever the rows are: that none of these rows was accepted does not mean that none ever is. */
function neverAccepts({ accept, hopeless }: Gate): boolean {
  return accept > 1 && hopeless?.action !== "accept";
}

/** -1..1 to 0..1. */
function toUnit(gap: number): number {
  return (gap + 1) / 2;
}

/** -1..1 to 0, 1: losses count, gains do not. */
function toHarm(gap: number): number {
  return gap > 0 ? 1 : 0;
}

function disagreementBound(disagrees: Uint8Array, groups: RowGroups | null, risk: number): number {
  if (groups !== null) {
    const { values, weights } = testUnits(disagrees, groups, Number);
    return bettingUpperBound(values, risk, weights);
  }
  return clopperPearsonUpper(
    count(disagrees, (value) => value > 0),
    disagrees.length,
    risk,
  );
}

function count(values: Int8Array | Uint8Array, test: (value: number) => boolean): number {
  let counted = 0;
  for (const value of values) if (test(value)) counted++;
  return counted;
}
