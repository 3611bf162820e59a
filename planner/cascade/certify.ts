/**
 * The statistical promise: thresholds were chosen on one split, a path of them is tested in a fixed order on another
 * that was used for nothing else (fixed sequence testing; hybridserve.md 3.3). The promise holds with probability
 * 1 - risk for every step up to the last that passed, at once.
 */
import type { Certificate, Gate } from "../../proto/files/cascade-file.ts";
import { binomialCdf, clopperPearson, clopperPearsonUpper, samplesNeededAtRate } from "./binomial.ts";
import type { LevelOutcomes } from "./outcomes.ts";
import { rowLosses } from "./row-losses.ts";
import { bettingPValue, bettingUpperBound } from "./wsr.ts";

export type CertifiedMetric = Certificate["metric"];

export interface CertifyOptions {
  readonly metric: CertifiedMetric;
  /** Largest loss that may be promised. */
  readonly epsilon: number;
  readonly risk: number;
  /** Group of each row, 0, 1, ...: the test then runs on the means of groups; null: every row is its own. */
  readonly groups: Int32Array | null;
}

/** One tested step of the path. */
export interface CertifiedStep {
  readonly gates: readonly Gate[];
  /** Of "the true loss is above epsilon"; 0 for the last level alone, which loses nothing to itself. */
  readonly pValue: number;
  readonly passed: boolean;
  /** Upper confidence bound of the metric at this risk, for this step alone. */
  readonly bound: number;
  /** Units (rows or groups) tested, the rows they hold, and rows where the last level is right and the cascade wrong. */
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
    samples: groups === null ? outcomes.rows : groupCount(groups),
  };
  if (gates.every(neverAccepts)) return { ...base, pValue: 0, passed: true, bound: 0 };
  if (metric === "harm" && groups === null) {
    const pValue = binomialCdf(losses, outcomes.rows, epsilon);
    const bound = clopperPearsonUpper(losses, outcomes.rows, risk);
    return { ...base, pValue, passed: pValue <= risk, bound };
  }
  const values = metric === "harm" ? unitMeans(gap, groups, (g) => (g > 0 ? 1 : 0)) : unitMeans(gap, groups, toUnit);
  const target = metric === "harm" ? epsilon : toUnit(epsilon);
  const pValue = bettingPValue(values, target, risk);
  const upper = bettingUpperBound(values, risk);
  return { ...base, pValue, passed: pValue <= risk, bound: metric === "harm" ? upper : 2 * upper - 1 };
}

/** Name of the test, as the certificate states it. */
export function methodOf(metric: CertifiedMetric, grouped: boolean): string {
  return metric === "harm" && !grouped ? "binomial-fixed-sequence" : "wsr-fixed-sequence";
}

/** What a number of samples can show at best: no loss at all, and for the gap also where 2 % of the answers differ. */
export interface Feasibility {
  readonly samples: number;
  readonly smallestMargin: number;
  readonly marginAtTwoPercentDisagreement: number;
}

/** Told before the long run, so that nobody waits for a certificate that cannot come. */
export function feasibility(samples: number, metric: CertifiedMetric, risk: number): Feasibility {
  if (metric === "harm") {
    const bound = (rate: number) => clopperPearsonUpper(Math.round(samples * rate), samples, risk);
    return { samples, smallestMargin: bound(0), marginAtTwoPercentDisagreement: bound(0.01) };
  }
  const bound = (every: number) => {
    const values = new Float64Array(samples).fill(0.5);
    for (let i = every - 1, side = 0; i < samples; i += every, side = 1 - side) values[i] = side;
    return 2 * bettingUpperBound(values, risk) - 1;
  };
  return { samples, smallestMargin: bound(samples + 1), marginAtTwoPercentDisagreement: bound(50) };
}

/**
 * About how many certify samples a point needs for this margin, were its losses as frequent there: by the binomial test
 * for harm; for the gap 2 ln(1/risk) var / (epsilon - gap)^2, the growth of the betting capital. Infinity where its loss
 * is not below epsilon.
 */
export function samplesForMargin(
  gates: readonly Gate[],
  outcomes: LevelOutcomes,
  metric: CertifiedMetric,
  epsilon: number,
  risk: number,
): number {
  const { gap } = rowLosses(outcomes, gates);
  const n = Math.max(1, gap.length);
  // One more of each than was seen: that none was seen among a few rows does not make it impossible.
  const losses = count(gap, (value) => value > 0) + 1;
  const gains = count(gap, (value) => value < 0) + 1;
  const loss = metric === "harm" ? losses / n : (losses - gains) / n;
  if (loss >= epsilon) return Number.POSITIVE_INFINITY;
  if (metric === "harm") return samplesNeededAtRate(loss, epsilon, risk);
  const variance = (losses + gains) / n - loss * loss;
  const estimate = (2 * Math.log(1 / risk) * variance) / (epsilon - loss) ** 2;
  return Math.ceil(Math.max(estimate, samplesNeededAtRate(0, epsilon, risk)));
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

function disagreementBound(disagrees: Uint8Array, groups: Int32Array | null, risk: number): number {
  if (groups !== null) return bettingUpperBound(unitMeans(disagrees, groups, Number), risk);
  return clopperPearsonUpper(
    count(disagrees, (value) => value > 0),
    disagrees.length,
    risk,
  );
}

/** One value a row, or the mean of each group in order of its first row. */
function unitMeans(values: Int8Array | Uint8Array, groups: Int32Array | null, map: (value: number) => number) {
  if (groups === null) return Float64Array.from(values, map);
  const sums = new Map<number, { sum: number; rows: number }>();
  values.forEach((value, row) => {
    const group = groups[row] ?? 0;
    const entry = sums.get(group) ?? { sum: 0, rows: 0 };
    entry.sum += map(value);
    entry.rows++;
    sums.set(group, entry);
  });
  return Float64Array.from(sums.values(), ({ sum, rows }) => sum / rows);
}

function groupCount(groups: Int32Array): number {
  return new Set(groups).size;
}

function count(values: Int8Array | Uint8Array, test: (value: number) => boolean): number {
  let counted = 0;
  for (const value of values) if (test(value)) counted++;
  return counted;
}
