import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ArrivalRate } from "../../../scheduler/cascade/arrival-rate.ts";
import { type GearState, type GearTable, LEAST_GEAR_MS, NO_GEARS, nextGear } from "../../../scheduler/cascade/gears.ts";

const IDLE: GearState = { gear: 0, sinceMs: Number.NEGATIVE_INFINITY };
const BY_DELAY: GearTable = {
  by: "queueDelayMs",
  gears: [
    { from: 50, point: "a" },
    { from: 200, point: "b" },
  ],
};
const BY_RATE: GearTable = {
  by: "arrivalsPerSecond",
  gears: [
    { from: 0, point: "a" },
    { from: 100, point: "b" },
    { from: 150, point: "c" },
  ],
};

describe("gears by queue delay", () => {
  const next = (state: GearState, queueDelayMs: number, nowMs: number) =>
    nextGear(BY_DELAY, state, { queueDelayMs, arrivalsPerSecond: 1e6 }, nowMs);

  it("are left late: after a while, below half of the threshold, one at a time", () => {
    const top = next(IDLE, 250, 0);
    assert.deepEqual(top, { gear: 2, sinceMs: 0 });
    assert.deepEqual(next(top, 150, 5_000), top, "still above half");
    assert.deepEqual(next(top, 10, 500), top, "too early");
    const middle = next(top, 10, 1_000);
    assert.deepEqual(middle, { gear: 1, sinceMs: 1_000 });
    assert.deepEqual(next(middle, 10, 1_500), middle);
    assert.deepEqual(next(middle, 10, 2_000), { gear: 0, sinceMs: 2_000 });
  });

  it("are taken at once", () => {
    const low = next(IDLE, 60, 10);
    assert.deepEqual(low, { gear: 1, sinceMs: 10 });
    assert.deepEqual(next(low, 200, 11), { gear: 2, sinceMs: 11 });
  });
});

describe("gears by arrival rate", () => {
  const next = (state: GearState, arrivalsPerSecond: number, nowMs: number) =>
    nextGear(BY_RATE, state, { queueDelayMs: 1e6, arrivalsPerSecond }, nowMs);

  it("begin at 0, and are the rate's own, without steps between", () => {
    assert.deepEqual(next(IDLE, 0, 0), { gear: 1, sinceMs: 0 });
    assert.deepEqual(next(IDLE, 100, 0), { gear: 2, sinceMs: 0 });
    const top = next(IDLE, 1_000, 0);
    assert.deepEqual(top, { gear: 3, sinceMs: 0 });
    assert.deepEqual(next(top, 3, 1_000), { gear: 1, sinceMs: 1_000 });
  });

  it("are left below nine tenths of the threshold", () => {
    const top: GearState = { gear: 3, sinceMs: 0 };
    assert.deepEqual(next(top, 135.1, 5_000), top);
    assert.deepEqual(next(top, 134.9, 5_000), { gear: 2, sinceMs: 5_000 });
    assert.deepEqual(next(top, 90.1, 5_000), { gear: 2, sinceMs: 5_000 });
    assert.deepEqual(next(top, 89.9, 5_000), { gear: 1, sinceMs: 5_000 });
  });

  it("change up and down only after a while in the gear in use", () => {
    const low: GearState = { gear: 1, sinceMs: 0 };
    assert.deepEqual(next(low, 500, 999), low);
    assert.deepEqual(next(low, 500, 1_000), { gear: 3, sinceMs: 1_000 });
    const top: GearState = { gear: 3, sinceMs: 0 };
    assert.deepEqual(next(top, 0, 999), top);
  });

  it("never change twice within the least time, whatever bursts arrive", () => {
    const bursts = fc.array(
      fc.record({ gapMs: fc.integer({ min: 0, max: 1_500 }), requests: fc.integer({ min: 1, max: 400 }) }),
      { minLength: 10, maxLength: 60 },
    );
    let changes = 0;
    fc.assert(
      fc.property(bursts, (all) => {
        const arrivals = new ArrivalRate(0);
        let state = IDLE;
        let nowMs = 0;
        for (const { gapMs, requests } of all) {
          nowMs += gapMs;
          for (let i = 0; i < requests; i++) {
            arrivals.observe(nowMs);
            const before = state;
            state = next(before, arrivals.perSecond(nowMs), nowMs);
            if (state.gear === before.gear) continue;
            changes++;
            assert.ok(nowMs - before.sinceMs >= LEAST_GEAR_MS, `changed after ${nowMs - before.sinceMs} ms`);
          }
        }
      }),
      { seed: 1, numRuns: 50 },
    );
    assert.ok(changes > 100, `${changes} changes`);
  });
});

it("there is no gear in an empty table", () => {
  assert.equal(nextGear(NO_GEARS, IDLE, { queueDelayMs: 1e6, arrivalsPerSecond: 1e6 }, 0), IDLE);
});
