import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { ArrivalRate } from "../../../scheduler/cascade/arrival-rate.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";

const SLOT_MS = 250;
const WINDOW_MS = 5_000;

/** A request every `gapMs` for `forMs`. */
async function steady(clock: VirtualClock, arrivals: ArrivalRate, gapMs: number, forMs: number): Promise<void> {
  for (let passed = 0; passed < forMs; passed += gapMs) {
    arrivals.observe(clock.now());
    await clock.advance(gapMs);
  }
}

describe("arrival rate", () => {
  it("is requests over time: of the last five seconds, or since the start; a first burst is over a second", async () => {
    const clock = new VirtualClock();
    await clock.advance(123_456);
    const arrivals = new ArrivalRate(clock.now());
    assert.equal(arrivals.perSecond(clock.now()), 0);
    for (let i = 0; i < 20; i++) arrivals.observe(clock.now());
    assert.equal(arrivals.perSecond(clock.now()), 20);
    await clock.advance(2_000);
    assert.equal(arrivals.perSecond(clock.now()), 10);
    await clock.advance(2_000);
    assert.equal(arrivals.perSecond(clock.now()), 5);
    await clock.advance(2_000);
    assert.equal(arrivals.perSecond(clock.now()), 0);
  });

  it("knows a steady load after five seconds, and that it has ended after five more", async () => {
    const clock = new VirtualClock();
    const arrivals = new ArrivalRate(clock.now());
    await steady(clock, arrivals, 50, 6_000);
    assert.ok(Math.abs(arrivals.perSecond(clock.now()) - 20) < 0.5);
    await steady(clock, arrivals, 10, 2_500);
    const halfway = arrivals.perSecond(clock.now());
    assert.ok(halfway > 55 && halfway < 65, `${halfway}`);
    await steady(clock, arrivals, 10, 3_000);
    assert.ok(Math.abs(arrivals.perSecond(clock.now()) - 100) < 2);
    await clock.advance(WINDOW_MS + SLOT_MS);
    assert.equal(arrivals.perSecond(clock.now()), 0);
  });

  it("is the mean over whole slots and the one that has begun, whatever the arrivals and whoever looks", () => {
    const steps = fc.array(
      fc.record({
        gapMs: fc.oneof(
          fc.constant(0),
          fc.double({ min: 0, max: 400, noNaN: true }),
          fc.integer({ min: 0, max: 40 }).map((slots) => slots * SLOT_MS),
          fc.integer({ min: 4_000, max: 30_000 }),
        ),
        isRequest: fc.boolean(),
      }),
      { maxLength: 80 },
    );
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e7, noNaN: true }), steps, (startMs, all) => {
        const arrivals = new ArrivalRate(startMs);
        const times: number[] = [];
        let nowMs = startMs;
        for (const { gapMs, isRequest } of all) {
          nowMs += gapMs;
          if (isRequest) {
            times.push(nowMs);
            arrivals.observe(nowMs);
          }
          const beginMs = Math.floor(nowMs / SLOT_MS) * SLOT_MS - WINDOW_MS;
          const inWindow = times.filter((time) => time >= beginMs).length;
          const spanMs = Math.min(nowMs - beginMs, Math.max(1_000, nowMs - startMs));
          assert.ok(Math.abs(arrivals.perSecond(nowMs) - (inWindow / spanMs) * 1_000) < 1e-9);
        }
      }),
    );
  });

  it("has the mean of a Poisson load, and its spread: sqrt(rate / 5 s)", () => {
    const random = seededRandom(7);
    const arrivals = new ArrivalRate(0);
    const seen: number[] = [];
    let nowMs = 0;
    for (let next = 10_000; nowMs < 2_000_000; ) {
      nowMs += (-Math.log(1 - random()) / 150) * 1_000;
      for (; next < nowMs; next += 5_250) seen.push(arrivals.perSecond(next));
      arrivals.observe(nowMs);
    }
    const mean = seen.reduce((sum, rate) => sum + rate, 0) / seen.length;
    const deviation = Math.sqrt(seen.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / seen.length);
    assert.ok(Math.abs(mean - 150) < 1, `${mean}`);
    assert.ok(Math.abs(deviation - Math.sqrt(150 / 5)) < 0.8, `${deviation}`);
  });
});
