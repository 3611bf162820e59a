import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  binomialCdf,
  clopperPearson,
  clopperPearsonUpper,
  hoeffdingBentkus,
  largestCertifiable,
  samplesNeededAtRate,
} from "../../../planner/cascade/binomial.ts";
import { bettingPValue, bettingUpperBound } from "../../../planner/cascade/wsr.ts";

const RISK = 0.05;

/** Equal to so many significant digits. */
function close(actual: number, expected: number, digits = 6): void {
  assert.ok(Math.abs(actual - expected) <= Math.abs(expected) * 0.51 * 10 ** (1 - digits), `${actual} != ${expected}`);
}

describe("binomial tests", () => {
  it("give the golden values of the specification", () => {
    close(hoeffdingBentkus(0.02, 1000, 0.05), 2.08189e-6);
    close(binomialCdf(20, 1000, 0.05), 7.65885e-7);
    close(clopperPearsonUpper(20, 1000, 0.05), 0.02893, 5);
    close(hoeffdingBentkus(0.004, 5000, 0.01), 3.06081e-6);
    close(binomialCdf(20, 5000, 0.01), 1.12601e-6);
  });

  it("agree with the sum of the terms", () => {
    for (const [n, p] of [
      [1, 0.3],
      [12, 0.07],
      [40, 0.5],
      [60, 0.93],
    ] as const) {
      let term = (1 - p) ** n;
      let sum = 0;
      for (let k = 0; k < n; k++) {
        sum += term;
        assert.ok(Math.abs(binomialCdf(k, n, p) - sum) < 1e-12, `${k} of ${n} at ${p}`);
        term *= ((n - k) / (k + 1)) * (p / (1 - p));
      }
    }
  });

  it("certify at most so many losses (the specification's table)", () => {
    const table: [number, number[], number][] = [
      [0.002, [-1, 0, 4, 12, 29], 1497],
      [0.005, [1, 4, 16, 38, 83], 598],
      [0.01, [4, 12, 38, 83, 176], 299],
      [0.02, [12, 29, 83, 176, 367], 149],
    ];
    for (const [epsilon, most, least] of table) {
      assert.deepEqual(
        [1000, 2000, 5000, 10_000, 20_000].map((n) => largestCertifiable(n, epsilon, RISK)),
        most,
      );
      assert.equal(samplesNeededAtRate(0, epsilon, RISK), least);
    }
  });

  it("bound a share from both sides", () => {
    const [low, high] = clopperPearson(50, 1000, RISK);
    assert.ok(low < 0.05 && high > 0.05 && high - low < 0.03);
    assert.ok(Math.abs(binomialCdf(50, 1000, high) - RISK / 2) < 1e-9);
    assert.ok(Math.abs(1 - binomialCdf(49, 1000, low) - RISK / 2) < 1e-9);
    assert.deepEqual(clopperPearson(0, 0, RISK), [0, 1]);
  });
});

describe("the betting test", () => {
  it("is its formula, written out for three values", () => {
    const values = Float64Array.of(0.5, 0, 1);
    const [m, n] = [0.6, 3];
    const spread = (2 * Math.log(1 / RISK)) / n;
    const cap = 0.75 / (1 - m);
    const variances = [0.25, (0.25 + 0) / 2, (0.25 + 0 + (0 - 1 / 3) ** 2) / 3];
    let capital = 1;
    let highest = 1;
    values.forEach((value, i) => {
      capital *= 1 + Math.min(Math.sqrt(spread / (variances[i] ?? 0)), cap) * (m - value);
      highest = Math.max(highest, capital);
    });
    close(bettingPValue(values, m, RISK), 1 / highest, 12);
  });

  it("refuses means that are far and not those that are true", () => {
    const values = Float64Array.from({ length: 2000 }, (_, i) => (i % 10 === 0 ? 1 : 0));
    assert.ok(bettingPValue(values, 0.2, RISK) < 1e-6);
    assert.ok(bettingPValue(values, 0.1, RISK) > RISK);
    const bound = bettingUpperBound(values, RISK);
    assert.ok(bound > 0.1 && bound < 0.13, String(bound));
    assert.ok(bettingPValue(values, bound + 1e-6, RISK) <= RISK);
  });

  it("promises nothing of too few values", () => {
    assert.equal(bettingUpperBound(Float64Array.of(0), RISK), 1);
  });
});
