import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type DeadlineRoute, deadlineRoute } from "../../../scheduler/cascade/deadline.ts";
import { ServiceTime } from "../../../scheduler/cascade/service-time.ts";

describe("deadlineRoute", () => {
  const cases: readonly (readonly [number, number, number, boolean, DeadlineRoute])[] = [
    [40, 10, 30, false, "next"],
    [39, 10, 30, false, "last"],
    [30, 10, 30, false, "last"],
    [29, 10, 30, false, "next"], // the next may still accept it
    [9, 10, 30, false, "none"],
    [30, 30, 30, true, "next"],
    [29, 30, 30, true, "none"],
    [1, 0, 0, false, "next"], // nothing measured yet
  ];
  for (const [remainingMs, nextMs, lastMs, nextIsLast, expected] of cases) {
    it(`${remainingMs} ms left, next ${nextMs} ms, last ${lastMs} ms${nextIsLast ? " (the same)" : ""}: ${expected}`, () =>
      assert.equal(deadlineRoute(remainingMs, nextMs, lastMs, nextIsLast), expected));
  }
});

describe("ServiceTime", () => {
  it("parts latency into work and queue, newer answers weighing more", () => {
    const time = new ServiceTime();
    assert.equal(time.latencyMs(0), 0);
    time.end(time.begin(0), 30, 10);
    assert.equal(time.queueDelayMs(30), 20);
    assert.equal(time.latencyMs(30), 30);
    time.end(time.begin(30), 60, 20);
    assert.ok(Math.abs(time.latencyMs(60) - (12 + time.queueDelayMs(60))) < 1e-9);
    assert.ok(time.queueDelayMs(60) < 20);
  });

  it("sees a queue that answers nothing any more, and forgets one that nobody uses", () => {
    const time = new ServiceTime();
    time.end(time.begin(0), 10, 10);
    const stuck = time.begin(10);
    assert.equal(time.queueDelayMs(520), 500);
    time.end(stuck, 520, undefined);
    assert.equal(time.queueDelayMs(520), 0, "a failure says nothing of the queue");
    time.end(time.begin(1_000), 1_110, 10);
    assert.equal(time.queueDelayMs(2_110), time.queueDelayMs(1_110) / 2);
  });

  it("believes work less and less that nobody measures, so that one slow answer does not lock a level out", () => {
    const time = new ServiceTime();
    time.end(time.begin(0), 2_000, 2_000);
    assert.equal(time.latencyMs(32_000), 2_000);
    assert.equal(time.latencyMs(52_000), 500);
  });
});
