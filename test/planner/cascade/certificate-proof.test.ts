/**
 * The proof of the certificate: data sets are drawn again and again from a population whose true loss is known for any
 * gates, calibrated, and the certified gates' true loss is compared with what was promised. Seeded: the same draws on
 * every machine.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CertifiedMetric, certifyPath } from "../../../planner/cascade/certify.ts";
import type { LevelOutcomes } from "../../../planner/cascade/outcomes.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { searchThresholds } from "../../../planner/cascade/search.ts";
import type { Gate } from "../../../proto/files/cascade-file.ts";
import { route } from "../../../scheduler/cascade/policy.ts";

const REPETITIONS = 1000;
const RISK = 0.1;
const TUNE_ROWS = 300;
const CERTIFY_ROWS = 600;
const COSTS = [1, 5, 25];
/** Three standard errors above the risk: what a certificate that holds stays under. */
const MOST_VIOLATIONS = REPETITIONS * (RISK + 3 * Math.sqrt((RISK * (1 - RISK)) / REPETITIONS));
const METRICS = ["gap", "harm"] as const;

/** Confidences of both smaller levels are one of these, all equally likely and independent. */
const CONFIDENCES = Array.from({ length: 16 }, (_, i) => i / 16);
/**
 * Probability that level k of 0, 1 is wrong where the last level is right, and right where it is wrong. Confidence says
 * little about it: many gates are about as good, and a search finds those that are lucky on its rows.
 */
const harmRate = (level: number, q: number) => (1.4 - q) * (level === 0 ? 0.16 : 0.1);
const gainRate = (level: number, q: number) => (1.4 - q) * (level === 0 ? 0.05 : 0.04);
/** Largest losses promised; between true losses of neighbouring steps. */
const EPSILON: Readonly<Record<CertifiedMetric, number>> = { harm: 0.04, gap: 0.03 };

function drawRows(rows: number, random: () => number): LevelOutcomes {
  const confidences = [new Float64Array(rows), new Float64Array(rows)];
  const correct = [new Uint8Array(rows), new Uint8Array(rows), new Uint8Array(rows)];
  for (let row = 0; row < rows; row++) {
    const lastRight = random() < 0.5 ? 1 : 0;
    for (let level = 0; level < 2; level++) {
      const q = CONFIDENCES[Math.floor(random() * CONFIDENCES.length)] ?? 0;
      // Twice the rate among the half of rows where it can happen.
      const differs = random() < 2 * (lastRight === 1 ? harmRate(level, q) : gainRate(level, q));
      (confidences[level] as Float64Array)[row] = q; // two levels
      (correct[level] as Uint8Array)[row] = differs ? 1 - lastRight : lastRight;
    }
    (correct[2] as Uint8Array)[row] = lastRight;
  }
  return { rows, confidences, correct, answers: correct.map((right) => Int32Array.from(right)) };
}

/** Expected loss of gates over the population: every pair of confidences is equally likely. */
function trueLoss(gates: readonly Gate[], metric: CertifiedMetric): number {
  let sum = 0;
  for (const first of CONFIDENCES) {
    for (const second of CONFIDENCES) {
      const own = [first, second];
      let level = 0;
      while (level < 2) {
        const next = route(own[level] ?? 0, gates[level] as Gate, level, 2); // two gates
        if (next === level) break;
        level = next;
      }
      const q = own[level];
      if (q === undefined) continue;
      sum += harmRate(level, q) - (metric === "gap" ? gainRate(level, q) : 0);
    }
  }
  return sum / CONFIDENCES.length ** 2;
}

/** How often certificates of 1,000 draws were broken, and how often they were of any use. */
interface Tally {
  violations: number;
  /** Something cheaper than the last level alone was certified. */
  useful: number;
}

interface Proof {
  /** Certified on rows that chose nothing. */
  readonly certified: Tally;
  /** The negative control: on the rows that chose the thresholds. */
  readonly reused: Tally;
  /** Draws whose path has a step that keeps the promise and a later one that breaks it. */
  crossing: number;
}

/** Draws, searches and certifies; one search serves both metrics, which it does not know. */
function prove(): Record<CertifiedMetric, Proof> {
  const random = seededRandom(101);
  const tally = (): Tally => ({ violations: 0, useful: 0 });
  const proof = (): Proof => ({ certified: tally(), reused: tally(), crossing: 0 });
  const proofs = { gap: proof(), harm: proof() };
  for (let repetition = 0; repetition < REPETITIONS; repetition++) {
    const tune = drawRows(TUNE_ROWS, random);
    const certify = drawRows(CERTIFY_ROWS, random);
    const { path } = searchThresholds(tune, { costs: COSTS, skips: "searched", hopeless: null, seed: 1 });
    const gates = path.map((point) => point.gates);
    for (const metric of METRICS) {
      const isBroken = (step: readonly Gate[]) => trueLoss(step, metric) > EPSILON[metric];
      const { certified, reused } = proofs[metric];
      count(certified, gates, certify, metric, isBroken);
      count(reused, gates, tune, metric, isBroken);
      const kept = gates.findIndex((step, i) => i > 0 && !isBroken(step));
      if (kept > 0 && gates.slice(kept).some(isBroken)) proofs[metric].crossing++;
    }
  }
  return proofs;
}

function count(
  tally: Tally,
  path: readonly (readonly Gate[])[],
  rows: LevelOutcomes,
  metric: CertifiedMetric,
  isBroken: (gates: readonly Gate[]) => boolean,
): void {
  const steps = certifyPath(path, rows, { metric, epsilon: EPSILON[metric], risk: RISK, groups: null });
  const passed = steps.filter((step) => step.passed);
  if (passed.length > 1) tally.useful++;
  // The promise is about every step up to the last that passed, at once.
  if (passed.some(({ gates }) => isBroken(gates))) tally.violations++;
}

describe("the certificate, on 1,000 draws of a known population", () => {
  const proofs = prove();
  for (const metric of METRICS) {
    const { certified, reused, crossing } = proofs[metric];

    it(`${metric}: the true loss crosses the promised one between two steps of the path`, () => {
      assert.equal(crossing, REPETITIONS);
    });

    it(`${metric}: is broken no more often than its risk allows`, (context) => {
      context.diagnostic(`broken ${certified.violations}, of use ${certified.useful}, of ${REPETITIONS}`);
      assert.ok(certified.violations <= MOST_VIOLATIONS, `${certified.violations} > ${MOST_VIOLATIONS}`);
      assert.ok(certified.violations > 0, "a promise that cannot be broken proves nothing");
      assert.ok(certified.useful > 0.9 * REPETITIONS, String(certified.useful));
    });

    it(`${metric}: on the rows that chose the thresholds it is broken more often than that`, (context) => {
      context.diagnostic(`broken ${reused.violations} of ${REPETITIONS}`);
      assert.ok(reused.violations > MOST_VIOLATIONS, `${reused.violations} <= ${MOST_VIOLATIONS}`);
    });
  }
});
