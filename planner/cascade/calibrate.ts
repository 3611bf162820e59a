/**
 * From recorded scores and labels to a certified policy: splits the rows, fits confidences on D1, searches thresholds on
 * D2, certifies on D3. A function of data; who ran the levels does not matter.
 */
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeLevel, Cost } from "../../proto/files/cascade-file.ts";
import { textHash } from "../../proto/files/policy-hash.ts";
import { clopperPearson } from "./binomial.ts";
import type { HopelessAction } from "./cell-table.ts";
import {
  type CertifiedMetric,
  type CertifiedStep,
  type CertifyOptions,
  type ClassHarm,
  certifyPath,
  harmByClass,
  samplesForMargin,
} from "./certify.ts";
import type { SkipMode } from "./evaluations.ts";
import { type Answers, answersOf, correctRows, type Labels, numberAnswers, type Scores } from "./level-answers.ts";
import { type ConfidenceChoice, confidencesOf, type JudgedLevel, judgeLevel, needsFit } from "./level-confidence.ts";
import type { GateOutcome, LevelOutcomes } from "./outcomes.ts";
import { searchThresholds } from "./search.ts";
import { selectBytes, selectIntegers, selectLabels, selectScores } from "./select-rows.ts";
import { FITTED_SHARES, type Splits, splitRows, UNFITTED_SHARES } from "./splits.ts";
import { groupSizes, type RowGroups } from "./test-units.ts";

/** Labelled rows with the scores of every level, smallest level first. */
export interface CalibrationData {
  readonly levels: readonly CascadeLevel[];
  readonly scores: readonly Scores[];
  readonly labels: Labels;
  /** Cost of one row at each level, all in one unit. */
  readonly costs: readonly Cost[];
  /** Hex hash of each row, or of its group where rows are grouped: decides the split. */
  readonly rowHashes: readonly string[];
  /** Number of each row's group; null: rows are on their own. */
  readonly groups: Int32Array | null;
}

export interface CalibrationOptions {
  readonly confidence: ConfidenceChoice;
  readonly metric: CertifiedMetric;
  /** Largest drop of accuracy below the last level's that may be promised, a share of 1. */
  readonly epsilon: number;
  readonly risk: number;
  readonly hopeless: HopelessAction;
  readonly seed: number;
  /** The user's word that no level has seen these rows in training. */
  readonly heldOut: boolean;
}

/** What can be promised at another margin. */
export interface MarginPair {
  readonly epsilon: number;
  /** Cheapest step that passes at this margin, or the last level alone. */
  readonly cost: number;
  /** Certify rows, or groups of grouped rows. */
  readonly samplesForHalfCost: number;
}

/** The splits and what makes their certificates traceable. */
export interface PreparedSplits {
  readonly splits: Splits;
  /** Groups of the certify rows; null: rows are on their own. */
  readonly groups: RowGroups | null;
  readonly tuneHash: string;
  readonly certifyHash: string;
}

export interface CalibratedCascade {
  readonly judged: readonly JudgedLevel[];
  readonly tune: LevelOutcomes;
  readonly certify: LevelOutcomes;
  /** Front of the tune split, ascending cost, for searched skips, and what the other kinds of skips reach. */
  readonly graph: readonly GateOutcome[];
  readonly ablation: readonly { readonly skips: SkipMode; readonly graph: readonly GateOutcome[] }[];
  /** Steps in the order of the test; outcomes are of the tune split. */
  readonly path: readonly GateOutcome[];
  /** The tested steps of the path; the last may be the one that failed. */
  readonly steps: readonly CertifiedStep[];
  /** Harm by class of the last step that passed; empty for sequences. */
  readonly harm: readonly ClassHarm[];
  readonly pairs: readonly MarginPair[];
  /** Right answers of each level on the certify split. */
  readonly levelAccuracy: readonly { readonly accuracy: number; readonly interval: readonly [number, number] }[];
}

/** A giant above this on "unseen" rows has most likely seen them. */
const TRAINED_ACCURACY = 0.995;
const MARGINS = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05];
/** The fewest rows of a split that say anything; of grouped rows the fewest groups, since rows of one group are alike. */
const LEAST_SAMPLES = 50;

/** Draws the splits, which depend on the rows alone. Throws INVALID_ARGUMENT for too few rows, or groups. */
export function prepareSplits(data: CalibrationData, confidence: ConfidenceChoice): PreparedSplits {
  const shares = needsFit(confidence) ? FITTED_SHARES : UNFITTED_SHARES;
  const splits = splitRows(data.rowHashes, shares);
  for (const [name, rows] of Object.entries(splits)) {
    if (name === "fit" && shares.fit === 0) continue;
    const samples = data.groups === null ? rows.length : countGroups(selectIntegers(data.groups, rows));
    if (samples < LEAST_SAMPLES) throw tooFewSamples(samples, name, data);
  }
  const hash = (rows: Int32Array) => textHash(Array.from(rows, (row) => data.rowHashes[row]).join());
  return {
    splits,
    groups: certifyGroups(data.groups, splits),
    tuneHash: hash(splits.tune),
    certifyHash: hash(splits.certify),
  };
}

/** A group of the certify split weighs as much as the largest of the other splits at most: known before it is looked at. */
function certifyGroups(groups: Int32Array | null, { fit, tune, certify }: Splits): RowGroups | null {
  if (groups === null) return null;
  const others = [fit, tune].flatMap((rows) => groupSizes(selectIntegers(groups, rows)));
  return { of: selectIntegers(groups, certify), mostRows: others.reduce((most, rows) => Math.max(most, rows), 1) };
}

function countGroups(groups: Int32Array): number {
  return new Set(groups).size;
}

function tooFewSamples(samples: number, split: string, { rowHashes, groups }: CalibrationData): InferenceError {
  const isGrouped = groups !== null;
  const all = isGrouped ? `${countGroups(groups)} groups (${rowHashes.length} rows)` : `${rowHashes.length} rows`;
  const what = isGrouped ? "groups" : "rows";
  const advice = isGrouped
    ? "rows of one group are alike and count as one sample: give more groups, or leave the grouping out where rows are independent"
    : "give more rows";
  return new InferenceError(
    "INVALID_ARGUMENT",
    `only ${samples} of ${all} fall into the ${split} split; calibration needs at least ${LEAST_SAMPLES} ${what} in each, ` +
      `some hundred ${what} in all, and thousands for a useful margin; ${advice}`,
  );
}

/** The whole calibration on splits of `prepareSplits`. Throws FAILED_PRECONDITION for rows that look like training data. */
export function calibrateCascade(
  data: CalibrationData,
  { splits, groups }: PreparedSplits,
  options: CalibrationOptions,
): CalibratedCascade {
  const answers = data.scores.map((scores, k) => answersOf(scores, data.levels[k]?.labelMap ?? null));
  const correct = answers.map((level) => correctRows(level, data.labels));
  checkHeldOut(correct, splits, options);
  const last = correct.at(-1) ?? new Uint8Array(0);
  const labels = (rows: Int32Array) => (data.labels.tokens === 1 ? selectLabels(data.labels, rows).values : null);
  const judgedRows = (k: number, rows: Int32Array) => ({
    scores: selectScores(data.scores[k] as Scores, rows), // one a level
    correct: selectBytes(correct[k] as Uint8Array, rows), // as above
    lastCorrect: selectBytes(last, rows),
    labels: labels(rows),
  });
  const judged = data.levels.map((level, k) =>
    judgeLevel(
      options.confidence,
      level.confidence,
      // Without D1 nothing is fitted: functions that need no fit do not look at these rows.
      judgedRows(k, splits.fit.length > 0 ? splits.fit : splits.tune),
      judgedRows(k, splits.tune),
    ),
  );
  const tune = outcomesOf(data, answers, correct, judged, splits.tune);
  const certify = outcomesOf(data, answers, correct, judged, splits.certify);
  const costs = data.costs.map((cost) => cost.value);
  const { hopeless, seed } = options;
  const search = (skips: SkipMode) => searchThresholds(tune, { costs, skips, hopeless, seed });
  const { graph, path } = search("searched");
  const gates = path.map((point) => point.gates);
  const test = { metric: options.metric, epsilon: options.epsilon, risk: options.risk, groups };
  const steps = certifyPath(gates, certify, test);
  const best = steps.findLast((step) => step.passed);
  const tuneGroups =
    groups === null || data.groups === null ? null : { ...groups, of: selectIntegers(data.groups, splits.tune) };
  const certifyLabels = labels(splits.certify);
  return {
    judged,
    tune,
    certify,
    graph,
    ablation:
      data.levels.length < 3
        ? []
        : (["uniform", "none"] as const).map((skips) => ({ skips, graph: search(skips).graph })),
    path,
    steps,
    harm: best === undefined || certifyLabels === null ? [] : harmByClass(best.gates, certify, certifyLabels),
    pairs: MARGINS.map((epsilon) => marginPair(path, certify, { ...test, epsilon }, tune, tuneGroups)),
    levelAccuracy: certify.correct.map((rows) => {
      const right = rows.reduce((sum, value) => sum + value, 0);
      return { accuracy: right / rows.length, interval: clopperPearson(right, rows.length, 0.05) };
    }),
  };
}

function outcomesOf(
  data: CalibrationData,
  answers: readonly Answers[],
  correct: readonly Uint8Array[],
  judged: readonly JudgedLevel[],
  rows: Int32Array,
): LevelOutcomes {
  const picked = answers.map(({ classes, tokens }) => ({ classes: selectIntegers(classes, rows, tokens), tokens }));
  return {
    rows: rows.length,
    confidences: judged
      .slice(0, -1)
      .map(({ fitted }, k) => confidencesOf(fitted, selectScores(data.scores[k] as Scores, rows))), // one a level
    answers: numberAnswers(picked),
    correct: correct.map((level) => selectBytes(level, rows)),
  };
}

/** The cheapest step that passes at a margin of its own, and the samples that half the last level's cost would need. */
function marginPair(
  path: readonly GateOutcome[],
  certify: LevelOutcomes,
  test: CertifyOptions,
  tune: LevelOutcomes,
  tuneGroups: RowGroups | null,
): MarginPair {
  const steps = certifyPath(
    path.map((point) => point.gates),
    certify,
    test,
  );
  const passed = steps.filter((step) => step.passed).length;
  const half = path.find((point) => point.cost <= (path[0]?.cost ?? 0) / 2);
  return {
    epsilon: test.epsilon,
    cost: path[Math.max(0, passed - 1)]?.cost ?? 0,
    samplesForHalfCost:
      half === undefined
        ? Number.POSITIVE_INFINITY
        : samplesForMargin(half.gates, tune, { ...test, groups: tuneGroups }),
  };
}

/** A giant that is nearly always right has seen the rows: then every promise would be about the training data. */
function checkHeldOut(correct: readonly Uint8Array[], splits: Splits, options: CalibrationOptions): void {
  const last = correct.at(-1) ?? new Uint8Array(0);
  const right = selectBytes(last, splits.tune).reduce((sum, value) => sum + value, 0);
  const accuracy = right / splits.tune.length;
  if (options.heldOut || accuracy < TRAINED_ACCURACY) return;
  throw new InferenceError(
    "FAILED_PRECONDITION",
    `the last level is right on ${(accuracy * 100).toFixed(2)} % of these rows, which looks like data it was trained on; ` +
      "a certificate on such rows promises nothing. Take rows that no level has seen, or give --i-held-this-out if these are",
  );
}
