import assert from "node:assert/strict";
import test from "node:test";
import { energyRatio, type RatioConditions, reachFor } from "../../../planner/scenario/energy-ratio.ts";

/** The conditions of the table in hybridserve.md 3.5: giant 8 GPUs and 5 requests/s a replica, reach 1, 3 a, a. */
function conditions(ratePerSecond: number, lastReach: number, changes: Partial<RatioConditions> = {}): RatioConditions {
  const reach = reachAt(lastReach);
  return {
    levels: [
      { devices: 1, ratePerSecond: 400, reach: reach[0] ?? 0 },
      { devices: 1, ratePerSecond: 120, reach: reach[1] ?? 0 },
      { devices: 8, ratePerSecond: 5, reach: reach[2] ?? 0 },
    ],
    ratePerSecond,
    utilisationCap: 0.7,
    watts: { bare: 60, idle: 60, active: 300 },
    unusedDevices: "off",
    shadowShare: 0,
    baselineGain: 1,
    ...changes,
  };
}

function reachAt(lastReach: number): number[] {
  return [1, Math.min(1, 3 * lastReach), lastReach];
}

function needed(ratio: number, ratePerSecond: number): number {
  return reachFor(ratio, conditions(ratePerSecond, 0), reachAt) ?? Number.NaN;
}

test("golden: devices of the table of 19.8x", () => {
  const table = [
    [50, 120, 10, 1],
    [100, 232, 18, 2],
    [200, 464, 26, 3],
    [500, 1144, 59, 7],
  ] as const;
  for (const [rate, baseline, cascade, giants] of table) {
    const found = energyRatio(conditions(rate, needed(19.8, rate)));
    assert.equal(found.baseline.devices, baseline);
    assert.equal(found.cascade.devices, cascade);
    assert.equal(found.cascade.replicas[2], giants);
    assert.ok(found.ratio >= 19.8);
  }
  const small = energyRatio(conditions(20, 0.05));
  assert.equal(small.baseline.devices, 48);
  assert.equal(small.cascade.devices, 10);
});

test("golden: reach that 19.8x needs, by rate", () => {
  assert.equal(reachFor(19.8, conditions(20, 0), reachAt), null);
  // The table steps through reaches of 0.0005: its entry is the last step that is still enough.
  for (const [rate, printed] of [
    [50, 0.036],
    [100, 0.0385],
    [200, 0.046],
    [500, 0.0475],
  ] as const) {
    assert.ok(energyRatio(conditions(rate, printed)).ratio >= 19.8);
    assert.ok(energyRatio(conditions(rate, printed + 0.0005)).ratio < 19.8);
    assert.ok(needed(19.8, rate) >= printed && needed(19.8, rate) < printed + 0.0005);
  }
  assert.equal(needed(19.8, Number.POSITIVE_INFINITY).toFixed(4), "0.0482");
});

test("golden: other ratios at large load", () => {
  assert.equal(needed(5, Number.POSITIVE_INFINITY).toFixed(3), "0.195");
  assert.equal(needed(10, Number.POSITIVE_INFINITY).toFixed(3), "0.097");
  assert.equal(needed(30, Number.POSITIVE_INFINITY).toFixed(3), "0.031");
});

test("golden: one resident giant idles at 20 requests/s", () => {
  assert.equal(energyRatio(conditions(20, 0.05)).ratio.toFixed(1), "10.5");
  assert.equal(energyRatio(conditions(20, 0.01)).ratio.toFixed(1), "15.3");
});

test("golden: 16.9x becomes 3.3x when the saved devices stay on", () => {
  assert.equal(energyRatio(conditions(100, 0.05)).ratio.toFixed(1), "16.9");
  assert.equal(energyRatio(conditions(100, 0.05, { unusedDevices: "bare" })).ratio.toFixed(1), "3.3");
});

test("golden: shadows of 1 % at a reach of 4.8 % turn 19.8x into 16.7x", () => {
  const lastReach = needed(19.8, Number.POSITIVE_INFINITY);
  const shadowed = energyRatio(conditions(Number.POSITIVE_INFINITY, lastReach, { shadowShare: 0.01 }));
  assert.equal(shadowed.ratio.toFixed(1), "16.7");
});

test("the limit is the ratio of device seconds, whatever the watts", () => {
  const expected = 1.6 / (1 / 400 + 0.15 / 120 + 0.05 * 1.6);
  for (const watts of [
    { bare: 0, idle: 0, active: 1 },
    { bare: 60, idle: 60, active: 300 },
  ]) {
    const { ratio } = energyRatio(conditions(Number.POSITIVE_INFINITY, 0.05, { watts }));
    assert.ok(Math.abs(ratio - expected) < 1e-9);
    const { ratio: large } = energyRatio(conditions(1e7, 0.05, { watts }));
    assert.ok(Math.abs(large / expected - 1) < 1e-4);
  }
});

test("a baseline that batches worse makes the ratio larger by just that factor at large load", () => {
  const { ratio } = energyRatio(conditions(Number.POSITIVE_INFINITY, 0.05));
  const { ratio: paperStyle } = energyRatio(conditions(Number.POSITIVE_INFINITY, 0.05, { baselineGain: 0.25 }));
  assert.ok(Math.abs(paperStyle / ratio - 4) < 1e-9);
});

test("watts, joules and their parts belong together", () => {
  const { baseline, cascade } = energyRatio(conditions(100, 0.05));
  assert.ok(Math.abs(baseline.watts - (232 * 60 + 100 * 1.6 * 240)) < 1e-6);
  assert.ok(Math.abs(cascade.watts / 100 - cascade.joulesPerRequest) < 1e-12);
  assert.ok(
    Math.abs(cascade.joulesPerRequest - cascade.dynamicJoulesPerRequest - (60 * cascade.devices) / 100) < 1e-12,
  );
});

test("all requests at the last level: the smaller levels are pure loss", () => {
  assert.ok(energyRatio(conditions(Number.POSITIVE_INFINITY, 1)).ratio < 1);
});

test("conditions that make no sense are refused by name", () => {
  assert.throws(() => energyRatio(conditions(0, 0.05)), /energy ratio: the rate is 0, must be above 0/);
  assert.throws(() => energyRatio(conditions(1, 0.05, { utilisationCap: 1.1 })), /utilisation cap is 1.1/);
  assert.throws(() => energyRatio(conditions(1, 2)), /the reach of level 2 is 2/);
  assert.throws(() => energyRatio(conditions(1, 0.1, { levels: [] })), /there is no level/);
});
