import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { feasibilityText, warningsOf } from "../../../cli/calibrate/notes.ts";
import { marginsText, percent } from "../../../cli/calibrate/summary.ts";
import type { CalibratedCascade, CalibrationData, PreparedSplits } from "../../../planner/cascade/calibrate.ts";
import type { CertifiedStep } from "../../../planner/cascade/certify.ts";
import type { GateOutcome } from "../../../planner/cascade/outcomes.ts";
import { cascadeFile, level } from "../../support/cascades.ts";

const FILE = cascadeFile([level("small"), level("giant")], []);

/** Steps and path of which only what is read is filled in. */
function margins(passed: readonly boolean[], samplesForHalfCost: number) {
  return {
    steps: passed.map((each) => ({ passed: each }) as CertifiedStep),
    path: [{ cost: 40 } as GateOutcome],
    pairs: [
      { epsilon: 0.001, cost: 40, samplesForHalfCost: Number.POSITIVE_INFINITY },
      { epsilon: 0.0125, cost: 14.2, samplesForHalfCost },
    ],
  };
}

describe("marginsText", () => {
  it("says what other margins give where nothing but the last level alone passed", () => {
    const lines = marginsText(FILE, margins([true, false], 9120), "rows").split("\n");
    assert.equal(
      lines[1],
      "Nothing cheaper than 'giant' alone could be certified at this margin. What these rows can certify:",
    );
    assert.match(lines[2] ?? "", /^ *drop +cost +certify rows for half the cost$/);
    assert.match(lines[4] ?? "", /^ *0\.10 % +100\.00 % +out of reach of these levels$/);
    assert.match(lines[5] ?? "", /^ *1\.25 % +35\.50 % +about 9120$/);
  });

  it("counts groups where these are the samples", () => {
    assert.match(marginsText(FILE, margins([true], 50), "groups"), /certify groups for half the cost/);
  });

  it("is silent where something was certified", () => {
    assert.equal(marginsText(FILE, margins([true, true], 9120), "rows"), "");
  });
});

describe("percent", () => {
  it("has two decimals", () => {
    assert.equal(percent(0.00456), "0.46 %");
  });
});

describe("what a calibration says beside its figures", () => {
  const certify = Int32Array.from({ length: 2000 }, (_, row) => row);
  const splits = { fit: new Int32Array(), tune: new Int32Array(), certify };
  const rows: PreparedSplits = { splits, groups: null, tuneHash: "t", certifyHash: "c" };
  const grouped: PreparedSplits = { ...rows, groups: { of: certify.map((row) => row >> 2), mostRows: 3 } };
  const asked = { metric: "gap", risk: 0.05, maxDrop: 0.005 } as const;

  it("tells what so many rows or groups can certify", () => {
    assert.equal(
      feasibilityText(rows, asked),
      "2000 rows can certify a gap of 0.21 % at best (no loss at all), about 0.76 % where 2 % of the answers differ; asked: 0.50 %",
    );
    assert.match(
      feasibilityText(grouped, asked),
      /^500 groups of 2000 rows, each weighing by its rows up to 3, can certify a gap of 0\.\d\d % .* 2 % of the groups answer/,
    );
  });

  it("warns of rows used before, of groups above the limit and of levels that make no cascade", () => {
    const cost = (value: number) => ({ value, unit: "s", source: "given" });
    const accuracy = (value: number) => ({ accuracy: value, interval: [value - 0.01, value + 0.01] as const });
    const calibrated = { levelAccuracy: [accuracy(0.95), accuracy(0.9)] } as unknown as CalibratedCascade; // all that is read
    const data = { levels: FILE.levels, costs: [cost(9), cost(10)] } as unknown as CalibrationData; // as above
    const warnings = warningsOf(data, grouped, calibrated, 3);
    assert.equal(warnings.length, 4);
    assert.match(warnings[0] ?? "", /used 3 times/);
    assert.match(warnings[1] ?? "", /^500 groups of the certify split have more than 3 rows/);
    assert.match(warnings[2] ?? "", /level 0 \('small'\) costs nearly as much/);
    assert.match(warnings[3] ?? "", /level 0 \('small'\) is right more often/);
    const sound = { ...data, costs: [cost(1), cost(10)] };
    const better = { levelAccuracy: [accuracy(0.8), accuracy(0.9)] } as unknown as CalibratedCascade; // as above
    assert.deepEqual(warningsOf(sound, rows, better, 1), []);
  });
});
