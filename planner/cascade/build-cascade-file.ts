/** From a calibration to what cascade.json says: operating points, their certificates, the threshold performance graph. */
import {
  CASCADE_FORMAT_VERSION,
  type Calibration,
  type CascadeFile,
  type Certificate,
  type Cost,
  type Expectation,
  type Gate,
  type OperatingPoint,
} from "../../proto/files/cascade-file.ts";
import { canonicalJson, policyHash } from "../../proto/files/policy-hash.ts";
import { lastLevelOnlyPoint } from "../../scheduler/cascade/policy.ts";
import { clopperPearson } from "./binomial.ts";
import type { CalibratedCascade, CalibrationData, CalibrationOptions, PreparedSplits } from "./calibrate.ts";
import { type CertifiedStep, methodOf } from "./certify.ts";
import { evaluateGates } from "./evaluate.ts";
import { knee, withinBudget } from "./front.ts";
import type { GateOutcome } from "./outcomes.ts";

/** Names of the points that calibration makes (hybridserve.md 3.3). */
export const POINT_AP = "AP";
export const POINT_EO = "EO";
export const POINT_LAST = lastLevelOnlyPoint(2).name;

export interface BuildOptions extends CalibrationOptions {
  /** A point is made for each: the most accurate that costs no more, as a share of the last level's cost. */
  readonly budgets: readonly number[];
  /** How often these certify rows were used, this time included. */
  readonly certifyUses: number;
  readonly calibration: Calibration;
}

/**
 * AP is the cheapest step that passed; EO the knee of the graph; `budget-<percent>` for each budget; and the last level
 * alone, which loses nothing to itself. A point is certified where its gates are a step that passed. The default is AP,
 * or the last level alone where nothing cheaper passed.
 */
export function buildCascadeFile(
  data: CalibrationData,
  prepared: PreparedSplits,
  calibrated: CalibratedCascade,
  options: BuildOptions,
): CascadeFile {
  const levels = data.levels.map((level, k) => ({
    ...level,
    cost: data.costs[k] ?? null,
    confidence: {
      ...(calibrated.judged[k]?.fitted ?? { function: "max_prob", kind: "logits" as const, params: {} }),
      outputs: level.confidence?.outputs ?? {},
    },
  }));
  const skeleton: CascadeFile = {
    formatVersion: CASCADE_FORMAT_VERSION,
    levels,
    operatingPoints: [],
    thresholdPerformanceGraph: calibrated.graph.map(({ gates, accuracy, cost }) => ({ gates, accuracy, cost })),
    default: POINT_LAST,
    calibration: options.calibration,
  };
  const operatingPoints = namedGates(calibrated, options.budgets).map(({ name, gates }) =>
    operatingPoint(name, gates, skeleton, data, prepared, calibrated, options),
  );
  const hasAp = operatingPoints.some((point) => point.name === POINT_AP);
  return { ...skeleton, operatingPoints, default: hasAp ? POINT_AP : POINT_LAST };
}

/** Budget names read as percent of the last level's cost. */
export function budgetName(share: number): string {
  return `budget-${Number((share * 100).toFixed(1))}`;
}

function namedGates({ graph, path, steps }: CalibratedCascade, budgets: readonly number[]) {
  const named: { name: string; gates: readonly Gate[] }[] = [];
  const best = steps.findLast((step) => step.passed);
  if (best !== undefined && best !== steps[0]) named.push({ name: POINT_AP, gates: best.gates });
  const eo = knee(graph);
  if (eo !== undefined) named.push({ name: POINT_EO, gates: eo.gates });
  const lastCost = path[0]?.cost ?? 0;
  for (const share of budgets) {
    const point = withinBudget(graph, share * lastCost);
    const name = budgetName(share);
    // Budgets that read alike are one point: names must differ for the file to be read.
    if (point !== undefined && !named.some((other) => other.name === name)) named.push({ name, gates: point.gates });
  }
  const last = steps[0];
  if (last !== undefined) named.push({ name: POINT_LAST, gates: last.gates });
  return named;
}

function operatingPoint(
  name: string,
  gates: readonly Gate[],
  file: CascadeFile,
  { costs, groups }: CalibrationData,
  prepared: PreparedSplits,
  calibrated: CalibratedCascade,
  options: BuildOptions,
): OperatingPoint {
  const outcome = evaluateGates(
    calibrated.certify,
    gates,
    costs.map((cost) => cost.value),
  );
  const uncertified: OperatingPoint = { name, gates, expected: expectation(outcome, costs), certificate: null };
  const pathIndex = calibrated.steps.findIndex((step) => canonicalJson(step.gates) === canonicalJson(gates));
  const step = calibrated.steps[pathIndex];
  if (step?.passed !== true) return uncertified;
  const certificate = certificateOf(
    step,
    pathIndex,
    policyHash(file, uncertified),
    prepared,
    options,
    costs.length - 1,
    groups !== null,
  );
  return { ...uncertified, certificate };
}

function certificateOf(
  step: CertifiedStep,
  pathIndex: number,
  hash: string,
  { tuneHash, certifyHash }: PreparedSplits,
  { metric, epsilon, risk, certifyUses }: BuildOptions,
  reference: number,
  isGrouped: boolean,
): Certificate {
  return {
    metric,
    epsilon,
    risk,
    bound: Math.min(step.bound, epsilon),
    method: pathIndex === 0 ? "identity" : methodOf(metric, isGrouped),
    reference,
    scope: "prefix",
    pathIndex,
    samples: step.samples,
    losses: step.losses,
    disagreementBound: step.disagreementBound,
    tuneHash,
    certifyHash,
    certifyUses,
    policyHash: hash,
  };
}

function expectation(outcome: GateOutcome, costs: readonly Cost[]): Expectation {
  const { unit, source } = costs.at(-1) ?? { unit: "", source: "" };
  return {
    accuracy: outcome.accuracy,
    accuracyInterval: clopperPearson(Math.round(outcome.accuracy * outcome.rows), outcome.rows, 0.05),
    lastLevelAccuracy: outcome.lastLevelAccuracy,
    reach: outcome.reach,
    paths: outcome.paths,
    harm: outcome.harm,
    gap: outcome.gap,
    disagreement: outcome.disagreement,
    confidences: outcome.confidences,
    cost: { value: outcome.cost, unit, source },
  };
}
