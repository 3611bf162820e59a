import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  binomialCdf,
  clopperPearson,
  clopperPearsonUpper,
  largestCertifiable,
} from "../../../planner/cascade/binomial.ts";
import {
  type CertifyOptions,
  certifyPath,
  feasibility,
  harmByClass,
  methodOf,
  samplesForMargin,
  testGates,
} from "../../../planner/cascade/certify.ts";
import type { LevelOutcomes } from "../../../planner/cascade/outcomes.ts";
import { type Gate, NEVER } from "../../../proto/files/cascade-file.ts";
import { lastLevelOnlyPoint } from "../../../scheduler/cascade/policy.ts";

const RISK = 0.05;
const accept = (cut: number): Gate[] => [{ accept: cut, skip: [], hopeless: null }];

/** Two levels; each row: [confidence, small level right, last level right]. */
function twoLevels(rows: readonly (readonly [number, number, number])[]): LevelOutcomes {
  const correct = [Uint8Array.from(rows, (row) => row[1]), Uint8Array.from(rows, (row) => row[2])];
  return {
    rows: rows.length,
    confidences: [Float64Array.from(rows, (row) => row[0])],
    correct,
    answers: correct.map((right) => Int32Array.from(right)),
  };
}

/** n rows that the small level answers: losses, gains, and the rest where both are right, spread evenly. */
function spread(n: number, losses: number, gains = 0): LevelOutcomes {
  const rows = Array.from({ length: n }, (): [number, number, number] => [0.9, 1, 1]);
  for (let i = 0; i < losses; i++) rows[Math.floor(((i + 0.5) * n) / losses)] = [0.9, 0, 1];
  for (let i = 0; i < gains; i++) {
    let at = Math.floor(((i + 0.25) * n) / gains);
    while (rows[at]?.[1] === 0 || rows[at]?.[2] === 0) at++;
    rows[at] = [0.9, 1, 0];
  }
  return twoLevels(rows);
}

function options(rest: Partial<CertifyOptions> = {}): CertifyOptions {
  return { metric: "harm", epsilon: 0.005, risk: RISK, groups: null, ...rest };
}

describe("testGates", () => {
  it("passes harm exactly as far as the table of loss counts goes", () => {
    for (const n of [1000, 2000, 5000]) {
      const most = largestCertifiable(n, 0.005, RISK);
      const step = testGates(accept(0.5), spread(n, most), options());
      assert.equal(step.passed, true);
      assert.equal(step.losses, most);
      assert.equal(step.samples, n);
      assert.equal(step.pValue, binomialCdf(most, n, 0.005));
      assert.equal(step.bound, clopperPearsonUpper(most, n, RISK));
      assert.ok(step.bound <= 0.005);
      assert.equal(step.disagreementBound, step.bound);
      assert.equal(testGates(accept(0.5), spread(n, most + 1), options()).passed, false);
    }
  });

  it("lets gains pay for losses in the gap, not in harm", () => {
    const outcomes = spread(10_000, 60, 50);
    assert.equal(testGates(accept(0.5), outcomes, options()).passed, false);
    const gap = testGates(accept(0.5), outcomes, options({ metric: "gap" }));
    assert.equal(gap.passed, true);
    assert.ok(gap.bound > 0.001 && gap.bound <= 0.005, String(gap.bound));
    assert.equal(gap.disagreementBound, clopperPearsonUpper(110, 10_000, RISK));
    assert.equal(testGates(accept(0.5), spread(10_000, 80, 10), options({ metric: "gap" })).passed, false);
  });

  it("asks nothing of the last level alone, and much of gates that these few rows do not reach", () => {
    const few = spread(20, 0);
    const alone = testGates(lastLevelOnlyPoint(2).gates, few, options());
    assert.deepEqual([alone.passed, alone.pValue, alone.bound], [true, 0, 0]);
    const unreached = testGates(accept(0.95), few, options());
    assert.equal(unreached.passed, false);
    assert.equal(unreached.bound, clopperPearsonUpper(0, 20, RISK));
    const hopeless: Gate[] = [{ accept: NEVER, skip: [], hopeless: { below: 0.1, action: "accept" } }];
    assert.equal(testGates(hopeless, few, options()).passed, false);
  });

  it("tests groups, not their rows: a thousand rows of ten users are ten samples", () => {
    const outcomes = spread(3000, 0);
    const groups = Int32Array.from({ length: 3000 }, (_, row) => row % 10);
    for (const metric of ["harm", "gap"] as const) {
      assert.equal(testGates(accept(0.5), outcomes, options({ metric, epsilon: 0.02 })).passed, true);
      const step = testGates(accept(0.5), outcomes, options({ metric, epsilon: 0.02, groups }));
      assert.equal(step.passed, false, metric);
      assert.equal(step.samples, 10);
      assert.equal(step.rows, 3000);
    }
    const single = Int32Array.from({ length: 3000 }, (_, row) => row);
    const ungrouped = testGates(accept(0.5), outcomes, options({ metric: "gap", epsilon: 0.02 }));
    assert.deepEqual(
      testGates(accept(0.5), outcomes, options({ metric: "gap", epsilon: 0.02, groups: single })).pValue,
      ungrouped.pValue,
    );
  });

  it("weighs every group the same, however many rows it has", () => {
    // One group of 1,000 lost rows beside 999 groups of one good row: a rate of one in a thousand groups.
    const rows = Array.from({ length: 1999 }, (_, i): [number, number, number] => [0.9, i < 1000 ? 0 : 1, 1]);
    const groups = Int32Array.from({ length: 1999 }, (_, i) => (i < 1000 ? 0 : i - 999));
    const step = testGates(accept(0.5), twoLevels(rows), options({ epsilon: 0.02, groups }));
    assert.equal(step.samples, 1000);
    assert.equal(step.passed, true);
    assert.equal(step.losses, 1000);
  });

  it("is named after its test", () => {
    assert.equal(methodOf("harm", false), "binomial-fixed-sequence");
    assert.equal(methodOf("harm", true), "wsr-fixed-sequence");
    assert.equal(methodOf("gap", false), "wsr-fixed-sequence");
  });
});

describe("certifyPath", () => {
  it("stops at the first step that fails, whatever comes behind it", () => {
    const rows = Array.from({ length: 2000 }, (_, i): [number, number, number] => [
      i % 2 === 0 ? 0.9 : 0.6,
      i % 20 === 1 ? 0 : 1,
      1,
    ]);
    const path = [lastLevelOnlyPoint(2).gates, accept(0.8), accept(0.5), accept(0.95)];
    const steps = certifyPath(path, twoLevels(rows), options());
    assert.deepEqual(
      steps.map(({ passed }) => passed),
      [true, true, false],
    );
    assert.equal(steps[1]?.gates, path[1]);
  });
});

describe("what can be certified", () => {
  it("is told before: the smallest margin of a number of samples", () => {
    assert.ok(feasibility(598, "harm", RISK).smallestMargin <= 0.005);
    assert.ok(feasibility(597, "harm", RISK).smallestMargin > 0.005);
    for (const metric of ["harm", "gap"] as const) {
      const { samples, smallestMargin, marginAtTwoPercentDisagreement } = feasibility(5000, metric, RISK);
      assert.equal(samples, 5000);
      assert.ok(smallestMargin < marginAtTwoPercentDisagreement);
      const test = (epsilon: number, rows: LevelOutcomes) =>
        testGates(accept(0.5), rows, options({ metric, epsilon })).passed;
      assert.equal(test(smallestMargin * 1.001, spread(5000, 0)), true, metric);
      assert.equal(test(smallestMargin * 0.99, spread(5000, 0)), false, metric);
      assert.equal(test(marginAtTwoPercentDisagreement * 1.1, spread(5000, 50, 50)), true, metric);
    }
  });

  it("needs as many samples for harm as the binomial test takes, at one loss more than was seen", () => {
    const needed = samplesForMargin(accept(0.5), spread(1000, 4), "harm", 0.01, RISK);
    assert.equal(largestCertifiable(needed, 0.01, RISK), Math.floor(0.005 * needed), String(needed));
    assert.ok(largestCertifiable(needed - 150, 0.01, RISK) < 0.005 * (needed - 150));
    assert.equal(samplesForMargin(accept(0.5), spread(1000, 10), "harm", 0.01, RISK), Number.POSITIVE_INFINITY);
  });

  it("needs for the gap about as many as the betting test takes", () => {
    const needed = samplesForMargin(accept(0.5), spread(1000, 7, 5), "gap", 0.01, RISK);
    const test = (n: number) =>
      testGates(
        accept(0.5),
        spread(n, Math.round(0.008 * n), Math.round(0.006 * n)),
        options({ metric: "gap", epsilon: 0.01 }),
      ).passed;
    assert.equal(test(2 * needed), true, String(needed));
    assert.equal(test(Math.floor(needed / 3)), false, String(needed));
    assert.equal(samplesForMargin(accept(0.5), spread(1000, 20), "gap", 0.01, RISK), Number.POSITIVE_INFINITY);
  });
});

describe("harmByClass", () => {
  it("counts the losses of each class of labels, with their interval", () => {
    const outcomes = twoLevels([
      [0.9, 0, 1],
      [0.9, 1, 1],
      [0.1, 0, 1],
      [0.9, 1, 0],
      [0.9, 0, 0],
    ]);
    assert.deepEqual(harmByClass(accept(0.5), outcomes, Int32Array.of(7, 7, 2, 2, 7)), [
      { label: 2, rows: 2, losses: 0, interval: clopperPearson(0, 2, 0.05) },
      { label: 7, rows: 3, losses: 1, interval: clopperPearson(1, 3, 0.05) },
    ]);
  });
});
