import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { binomialCdf, clopperPearsonUpper } from "../../../planner/cascade/binomial.ts";
import { curveBounds } from "../../../planner/cascade/curve-bounds.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { rowLosses } from "../../../planner/cascade/row-losses.ts";
import { type Gate, NEVER } from "../../../proto/files/cascade-file.ts";
import { plausibleOutcomes } from "./outcome-samples.ts";

const RISK = 0.05;
const PATH = [NEVER, 0.95, 0.9, 0.8, 0.5].map((accept): Gate[] => [{ accept, skip: [], hopeless: null }]);

describe("curveBounds", () => {
  it("counts the losses of every point and divides the risk among the points", () => {
    const outcomes = plausibleOutcomes(2, 3000, 4);
    const bounds = curveBounds(PATH, outcomes, RISK);
    assert.deepEqual(
      bounds.map((bound) => bound.gates),
      PATH,
    );
    for (const { gates, losses, samples, harmBound } of bounds) {
      assert.equal(losses, [...rowLosses(outcomes, gates).gap].filter((gap) => gap > 0).length);
      assert.equal(samples, 3000);
      // The definition of the bound: at this rate so few losses are as likely as a fifth of the risk.
      assert.ok(Math.abs(binomialCdf(losses, 3000, harmBound) - RISK / PATH.length) < 1e-9);
    }
    assert.ok((bounds.at(-1)?.losses ?? 0) > 0);
  });

  it("is wider than the bound of a point alone and as wide for a path of one", () => {
    const outcomes = plausibleOutcomes(2, 3000, 4);
    const gates = PATH[3] ?? [];
    const [alone] = curveBounds([gates], outcomes, RISK);
    const together = curveBounds(PATH, outcomes, RISK)[3];
    assert.equal(alone?.harmBound, clopperPearsonUpper(alone?.losses ?? 0, 3000, RISK));
    assert.ok((together?.harmBound ?? 0) > (alone?.harmBound ?? 1));
  });

  it("has no points for an empty path", () => {
    assert.deepEqual(curveBounds([], plausibleOutcomes(2, 100, 1), RISK), []);
  });

  it("holds for all points at once as often as it says", () => {
    // Losses at these rates among the rows; the points nest, as those of a path do.
    const rates = [0.002, 0.01, 0.03];
    const path = [0.75, 0.5, 0.25].map((accept): Gate[] => [{ accept, skip: [], hopeless: null }]);
    const random = seededRandom(11);
    const repetitions = 1000;
    let violations = 0;
    for (let i = 0; i < repetitions; i++) {
      const draws = Float64Array.from({ length: 400 }, () => random());
      const confidence = draws.map((draw) => [0.9, 0.6, 0.3][rates.findIndex((rate) => draw < rate)] ?? 0);
      const correct = [new Uint8Array(400), new Uint8Array(400).fill(1)];
      const bounds = curveBounds(
        path,
        { rows: 400, confidences: [confidence], correct, answers: correct.map((right) => Int32Array.from(right)) },
        RISK,
      );
      if (bounds.some(({ harmBound }, k) => harmBound < (rates[k] ?? 0))) violations++;
    }
    assert.ok(violations <= repetitions * RISK + 3 * Math.sqrt(repetitions * RISK * (1 - RISK)), `${violations}`);
  });
});
