import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { boundText, interval, percent, points, pValue, significant, tick } from "../../../cli/report/format.ts";

describe("numbers for readers", () => {
  it("gives shares as many decimals as the rows allow, and does not call a few none", () => {
    assert.equal(percent(0.93384, 10_000), "93.38 %");
    assert.equal(percent(0.93384, 300), "93.4 %");
    assert.equal(percent(0.000001, 10_000), "< 0.01 %");
    assert.equal(percent(0, 10_000), "0 %");
    assert.equal(percent(Number.NaN, 10), "–");
    assert.equal(interval([0.1, 0.2], 100), "10.0 to 20.0 %");
    assert.equal(interval(null, 100), "–");
  });

  it("signs differences, but not zero", () => {
    assert.deepEqual(
      [0.002, -0.002, 0, -0.00001].map((difference) => points(difference, 10_000)),
      ["+0.20", "-0.20", "0.00", "0.00"],
    );
  });

  it("rounds bounds up, exact ones excepted", () => {
    assert.equal(boundText("gap", 0.00471), "0.48 points");
    assert.equal(boundText("harm", 0.0047), "0.47 %");
    assert.equal(boundText("gap", -0.00001), "0.00 points");
  });

  it("shows large and small numbers", () => {
    assert.deepEqual([0.000012345, 0.0123456, 1234.5, 1e9, 0, Number.NaN].map(significant), [
      "1.23e-5",
      "0.0123",
      "1,230",
      "1e+9",
      "0",
      "–",
    ]);
    assert.deepEqual([0.1 + 0.2, 1e-9, 2_500].map(tick), ["0.3", "1e-9", "2,500"]);
    assert.deepEqual([0, 1e-9, 0.0123, 1].map(pValue), ["0", "< 0.0001", "0.012", "1.0"]);
  });
});
