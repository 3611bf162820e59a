import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  readCascadeVersion,
  readRecordedConfidences,
  routingOfPoint,
} from "../../../cli/simulate/recorded-confidences.ts";
import { reachOfRouting } from "../../../planner/simulate/ways.ts";
import type { OperatingPoint } from "../../../proto/files/cascade-file.ts";

const DEMO = "examples/fashion-mnist";
const RECORDED = `${DEMO}/recorded/levels.npz`;

const demo = () => readCascadeVersion([`${DEMO}/models`], "fashion", "2");

describe("ways of recorded confidences", () => {
  it("enter the levels as every operating point of the demo expects", async () => {
    const { levels, operatingPoints } = await demo();
    const recorded = await readRecordedConfidences(RECORDED, levels);
    assert.equal(recorded.rows, 22_000);
    assert.equal(operatingPoints.length, 3);
    for (const point of operatingPoints) {
      const reach = reachOfRouting(routingOfPoint(recorded, point), levels.length);
      assert.equal(point.expected?.reach.length, levels.length);
      for (const [level, expected] of (point.expected?.reach ?? []).entries()) {
        const found = reach[level] ?? Number.NaN;
        assert.ok(Math.abs(found - expected) < 0.02, `${point.name}: level ${level}: ${found}, expected ${expected}`);
      }
    }
  });

  it("are refused, with both figures, where other rows enter a level", async () => {
    const { levels, operatingPoints } = await demo();
    const recorded = await readRecordedConfidences(RECORDED, levels);
    const [point] = operatingPoints;
    assert.ok(point !== undefined && point.expected !== null);
    const other: OperatingPoint = { ...point, expected: { ...point.expected, reach: [1, 0.7, 0.1] } };
    assert.throws(
      () => routingOfPoint(recorded, other),
      /levels\.npz: 3\d\.\d % of its rows enter level 1 at operating point 'AP', whose cascade\.json expects 70\.0 %/,
    );
  });

  it("need as many levels as the cascade has, and its version", async () => {
    const { levels } = await demo();
    await assert.rejects(readRecordedConfidences(RECORDED, levels.slice(1)), /outputs of 3 levels .*expected 2/);
    await assert.rejects(readCascadeVersion([`${DEMO}/models`], "fashion", "99"), /version 99 of cascade 'fashion'/);
  });
});
