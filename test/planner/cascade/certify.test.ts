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
    const groups = { of: Int32Array.from({ length: 3000 }, (_, row) => row % 10), mostRows: 300 };
    for (const metric of ["harm", "gap"] as const) {
      assert.equal(testGates(accept(0.5), outcomes, options({ metric, epsilon: 0.02 })).passed, true);
      const step = testGates(accept(0.5), outcomes, options({ metric, epsilon: 0.02, groups }));
      assert.equal(step.passed, false, metric);
      assert.equal(step.samples, 10);
      assert.equal(step.rows, 3000);
    }
    const single = { of: Int32Array.from({ length: 3000 }, (_, row) => row), mostRows: 1 };
    const ungrouped = testGates(accept(0.5), outcomes, options({ metric: "gap", epsilon: 0.02 }));
    assert.deepEqual(
      testGates(accept(0.5), outcomes, options({ metric: "gap", epsilon: 0.02, groups: single })).pValue,
      ungrouped.pValue,
    );
  });

  it("bounds the mean over rows: a group weighs as its rows do", () => {
    // 900 groups of one good row, 100 of ten rows of which three are lost: 3 % of the groups' means, 16 % of the rows.
    const sizes = Array.from({ length: 1000 }, (_, group) => (group % 10 === 9 ? 10 : 1));
    const rows = sizes.flatMap((size) =>
      Array.from({ length: size }, (_, i): [number, number, number] => [0.9, size === 10 && i < 3 ? 0 : 1, 1]),
    );
    const groups = { of: Int32Array.from(sizes.flatMap((size, group) => Array(size).fill(group))), mostRows: 10 };
    for (const metric of ["harm", "gap"] as const) {
      const test = (epsilon: number) => testGates(accept(0.5), twoLevels(rows), options({ metric, epsilon, groups }));
      assert.equal(test(0.1).passed, false, metric);
      const loose = test(0.3);
      assert.equal(loose.passed, true, metric);
      assert.ok(loose.bound > 300 / 1900 && loose.bound <= 0.3, `${metric} ${loose.bound}`);
      assert.ok(loose.disagreementBound > 300 / 1900);
      assert.deepEqual([loose.samples, loose.rows, loose.losses], [1000, 1900, 300]);
    }
  });

  it("weighs a group that is larger than the limit by its mean, up to the limit", () => {
    const rows = Array.from({ length: 3000 }, (_, i): [number, number, number] => [0.9, i < 1000 ? 0 : 1, 1]);
    // One lost group of a thousand rows among 2,000 of one row, which counts as ten.
    const of = Int32Array.from({ length: 3000 }, (_, i) => (i < 1000 ? 0 : i - 999));
    const step = testGates(accept(0.5), twoLevels(rows), options({ epsilon: 0.05, groups: { of, mostRows: 10 } }));
    assert.equal(step.passed, true);
    assert.equal(step.losses, 1000);
  });

  it("is named after its test", () => {
    assert.equal(methodOf("harm", false), "binomial-fixed-sequence");
    assert.equal(methodOf("harm", true), "wsr-groups-fixed-sequence");
    assert.equal(methodOf("gap", true), "wsr-groups-fixed-sequence");
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
    assert.ok(feasibility(598, "harm", RISK, null).smallestMargin <= 0.005);
    assert.ok(feasibility(597, "harm", RISK, null).smallestMargin > 0.005);
    for (const metric of ["harm", "gap"] as const) {
      const { samples, smallestMargin, marginAtTwoPercentDisagreement } = feasibility(5000, metric, RISK, null);
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
    const needed = samplesForMargin(accept(0.5), spread(1000, 4), options({ epsilon: 0.01 }));
    assert.equal(largestCertifiable(needed, 0.01, RISK), Math.floor(0.005 * needed), String(needed));
    assert.ok(largestCertifiable(needed - 150, 0.01, RISK) < 0.005 * (needed - 150));
    const never = samplesForMargin(accept(0.5), spread(1000, 10), options({ epsilon: 0.01 }));
    assert.equal(never, Number.POSITIVE_INFINITY);
  });

  it("needs for the gap about as many as the betting test takes", () => {
    const asked = options({ metric: "gap", epsilon: 0.01 });
    const needed = samplesForMargin(accept(0.5), spread(1000, 7, 5), asked);
    const test = (n: number) =>
      testGates(accept(0.5), spread(n, Math.round(0.008 * n), Math.round(0.006 * n)), asked).passed;
    assert.equal(test(2 * needed), true, String(needed));
    assert.equal(test(Math.floor(needed / 3)), false, String(needed));
    assert.equal(samplesForMargin(accept(0.5), spread(1000, 20), asked), Number.POSITIVE_INFINITY);
  });

  it("is told of groups: as the test on their rows goes, and where whole groups differ", () => {
    const rows = 4000;
    const groups = { of: Int32Array.from({ length: rows }, (_, row) => Math.floor(row / 4)), mostRows: 8 };
    for (const metric of ["harm", "gap"] as const) {
      const { samples, smallestMargin, marginAtTwoPercentDisagreement } = feasibility(rows, metric, RISK, groups);
      assert.equal(samples, 1000);
      const test = (epsilon: number) =>
        testGates(accept(0.5), spread(rows, 0), options({ metric, epsilon, groups })).passed;
      assert.equal(test(smallestMargin * 1.001), true, metric);
      assert.equal(test(smallestMargin * 0.99), false, metric);
      assert.ok(marginAtTwoPercentDisagreement > smallestMargin);
      assert.ok(smallestMargin > feasibility(rows, metric, RISK, null).smallestMargin);
    }
  });

  it("needs more of groups whose rows go wrong together", () => {
    const together = Array.from({ length: 4000 }, (_, i): [number, number, number] => [0.9, i % 500 < 4 ? 0 : 1, 1]);
    const of = Int32Array.from({ length: 4000 }, (_, row) => Math.floor(row / 4));
    for (const metric of ["harm", "gap"] as const) {
      const asked = options({ metric, epsilon: 0.03, groups: { of, mostRows: 4 } });
      const needed = samplesForMargin(accept(0.5), twoLevels(together), asked);
      const ofRows = samplesForMargin(accept(0.5), twoLevels(together), { ...asked, groups: null });
      assert.ok(needed > ofRows / 2 && Number.isFinite(needed), `${metric}: ${needed} groups, ${ofRows} rows`);
      const never = samplesForMargin(accept(0.5), twoLevels(together), { ...asked, epsilon: 0.005 });
      assert.equal(never, Number.POSITIVE_INFINITY);
    }
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
