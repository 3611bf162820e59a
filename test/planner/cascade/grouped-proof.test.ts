/**
 * The proof of the certificate for grouped rows: what is bounded is the mean over rows, though rows of a group go wrong
 * together and groups are of very unequal sizes. Large groups lose more, so the mean over rows is far above the mean over
 * groups; a test of the groups' means is the negative control. Seeded; a thousand draws take some seconds.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CertifiedMetric, certifyPath } from "../../../planner/cascade/certify.ts";
import type { LevelOutcomes } from "../../../planner/cascade/outcomes.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { rowLosses } from "../../../planner/cascade/row-losses.ts";
import { testUnits } from "../../../planner/cascade/test-units.ts";
import { bettingPValue } from "../../../planner/cascade/wsr.ts";
import { type Gate, NEVER } from "../../../proto/files/cascade-file.ts";

const REPETITIONS = 1000;
const RISK = 0.1;
const MOST_VIOLATIONS = REPETITIONS * (RISK + 3 * Math.sqrt((RISK * (1 - RISK)) / REPETITIONS));
const GROUPS = 600;
/** Share of large groups, and their rows; the others have one row. */
const LARGE_SHARE = 0.1;
const LARGE_ROWS = 12;
const MEAN_ROWS = 1 - LARGE_SHARE + LARGE_SHARE * LARGE_ROWS;
const EPSILON = 0.06;
/** Confidences are one of these, equally likely; the path accepts from the i-th on, from few rows to all. */
const CONFIDENCES = Array.from({ length: 8 }, (_, i) => i / 8);
const PATH: Gate[][] = [NEVER, ...CONFIDENCES.toReversed()].map((cut) => [{ accept: cut, skip: [], hopeless: null }]);

/** Share of the accepted rows of a large or a small group that are lost, and gained. */
const harmRate = (isLarge: boolean) => (isLarge ? 0.15 : 0.01);
const gainRate = (isLarge: boolean) => (isLarge ? 0.02 : 0.01);

/** A group's rows share their confidence; in half of the groups all can go wrong, in the other half all can be gained. */
function drawGroups(random: () => number): { outcomes: LevelOutcomes; of: Int32Array } {
  const of: number[] = [];
  const confidences: number[] = [];
  const small: number[] = [];
  const last: number[] = [];
  for (let group = 0; group < GROUPS; group++) {
    const isLarge = random() < LARGE_SHARE;
    const confidence = CONFIDENCES[Math.floor(random() * CONFIDENCES.length)] ?? 0;
    const lastRight = random() < 0.5 ? 1 : 0;
    const rate = 2 * (lastRight === 1 ? harmRate(isLarge) : gainRate(isLarge));
    // Half of the rows that go wrong do so with their whole group.
    const isWhole = random() < rate / 2;
    for (let row = 0; row < (isLarge ? LARGE_ROWS : 1); row++) {
      const differs = isWhole || random() < rate / 2 / (1 - rate / 2);
      of.push(group);
      confidences.push(confidence);
      small.push(differs ? 1 - lastRight : lastRight);
      last.push(lastRight);
    }
  }
  const correct = [Uint8Array.from(small), Uint8Array.from(last)];
  const answers = correct.map((right) => Int32Array.from(right));
  const outcomes = { rows: of.length, confidences: [Float64Array.from(confidences)], correct, answers };
  return { outcomes, of: Int32Array.from(of) };
}

/** Expected loss of a row, over the population. */
function trueLoss(gates: readonly Gate[], metric: CertifiedMetric): number {
  const accepted = CONFIDENCES.filter((q) => q >= (gates[0]?.accept ?? 0)).length / CONFIDENCES.length;
  const rate = (isLarge: boolean) => harmRate(isLarge) - (metric === "gap" ? gainRate(isLarge) : 0);
  const large = (LARGE_SHARE * LARGE_ROWS) / MEAN_ROWS;
  return accepted * (large * rate(true) + (1 - large) * rate(false));
}

/** The test that does not hold: every group weighs the same. */
function passesByGroupMeans(gates: readonly Gate[], { outcomes, of }: ReturnType<typeof drawGroups>): boolean {
  const { gap } = rowLosses(outcomes, gates);
  const { values } = testUnits(gap, { of, mostRows: 1 }, (loss) => (loss + 1) / 2);
  return bettingPValue(values, (EPSILON + 1) / 2, RISK) <= RISK;
}

function prove() {
  const random = seededRandom(7);
  const tally = { gap: { broken: 0, useful: 0 }, harm: { broken: 0, useful: 0 }, byGroupMeans: 0 };
  for (let repetition = 0; repetition < REPETITIONS; repetition++) {
    const drawn = drawGroups(random);
    const groups = { of: drawn.of, mostRows: LARGE_ROWS };
    for (const metric of ["gap", "harm"] as const) {
      const steps = certifyPath(PATH, drawn.outcomes, { metric, epsilon: EPSILON, risk: RISK, groups });
      const passed = steps.filter((step) => step.passed);
      if (passed.length > 1) tally[metric].useful++;
      if (passed.some(({ gates }) => trueLoss(gates, metric) > EPSILON)) tally[metric].broken++;
    }
    const failing = PATH.slice(1).findIndex((gates) => !passesByGroupMeans(gates, drawn));
    const passed = failing === -1 ? PATH.slice(1) : PATH.slice(1, 1 + failing);
    if (passed.some((gates) => trueLoss(gates, "gap") > EPSILON)) tally.byGroupMeans++;
  }
  return tally;
}

describe("the certificate of grouped rows, on 1,000 draws of groups of one and of twelve rows", () => {
  const { gap, harm, byGroupMeans } = prove();

  for (const [metric, { broken, useful }] of Object.entries({ gap, harm })) {
    it(`${metric}: of a row is broken no more often than its risk allows`, (context) => {
      context.diagnostic(`broken ${broken}, of use ${useful}, of ${REPETITIONS}`);
      assert.ok(broken <= MOST_VIOLATIONS, `${broken} > ${MOST_VIOLATIONS}`);
      assert.ok(broken > 0, "a promise that cannot be broken proves nothing");
      assert.ok(useful > 0.9 * REPETITIONS, String(useful));
    });
  }

  it("a test of the means of groups breaks it nearly always", (context) => {
    context.diagnostic(`broken ${byGroupMeans} of ${REPETITIONS}`);
    assert.ok(byGroupMeans > MOST_VIOLATIONS, `${byGroupMeans} <= ${MOST_VIOLATIONS}`);
    assert.ok(trueLoss(PATH.at(-1) ?? [], "gap") > EPSILON);
  });
});
