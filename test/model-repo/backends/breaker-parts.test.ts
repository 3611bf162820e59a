/** What the breakers of remote models are made of: the ramp, the sharing, the readiness. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RAMP_MS, rampShare, ShareCounter } from "../../../model-repo/backends/breaker-ramp.ts";
import { SharedBreakers } from "../../../model-repo/backends/breaker-registry.ts";
import { READY_AFTER_MS, Readiness, readyFromMs } from "../../../model-repo/backends/kserve-readiness.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";

describe("the ramp", () => {
  it("is a straight line from 10 to 100 %", () => {
    const shares = [0, 0.25, 0.5, 1, 2].map((part) => Number(rampShare(part * RAMP_MS).toFixed(4)));
    assert.deepEqual(shares, [0.1, 0.325, 0.55, 1, 1]);
    assert.equal(rampShare(Number.POSITIVE_INFINITY), 1);
  });

  it("lets exactly its share go, evenly, the first call included", () => {
    for (const [share, admitted] of [
      [0.125, "x.......x......."],
      [0.25, "x...x...x...x..."],
      [0.75, "x.xxx.xxx.xxx.xx"],
      [1, "xxxxxxxxxxxxxxxx"],
    ] as const) {
      const counter = new ShareCounter();
      const calls = Array.from({ length: 16 }, () => (counter.admits(share) ? "x" : "."));
      assert.equal(calls.join(""), admitted);
    }
  });

  it("lets half and a bit go of what arrives evenly while it lasts", () => {
    const counter = new ShareCounter();
    let admitted = 0;
    for (let ms = 0; ms < RAMP_MS; ms++) if (counter.admits(rampShare(ms))) admitted++;
    assert.ok(Math.abs(admitted - 0.55 * RAMP_MS) <= 2, `${admitted} of ${RAMP_MS}`);
  });
});

describe("shared breakers", () => {
  function user(changes: string[], name: string, probe: () => void = () => undefined) {
    return {
      probe: async () => probe(),
      onChange: (state: number, reason: string) => void changes.push(`${name}: ${state} ${reason}`),
    };
  }

  it("one an endpoint: what one model finds out holds for all, the newest model's connection probes", async () => {
    const clock = new VirtualClock();
    const shared = new SharedBreakers(clock);
    const changes: string[] = [];
    const probes: string[] = [];
    const a = shared.lease(
      "gpu:8001",
      user(changes, "a", () => probes.push("a")),
    );
    const b = shared.lease(
      "gpu:8001",
      user(changes, "b", () => probes.push("b")),
    );
    const other = shared.lease("gpu:8002", user(changes, "c"));
    assert.equal(a.breaker, b.breaker);
    for (let i = 0; i < 10; i++) {
      a.breaker.record("failure", "down", clock.now());
      b.breaker.record("failure", "down", clock.now());
    }
    await clock.advance(0);
    assert.deepEqual(changes, ["a: 1 down", "b: 1 down"]);
    assert.equal(other.breaker.state, 0);
    await clock.advance(1_200);
    b.release();
    b.release();
    await clock.advance(2_000);
    assert.deepEqual(probes, ["b", "a", "a"]);
    assert.deepEqual(changes.slice(2), ["a: 2 down", "b: 2 down", "a: 0 down"]);
    for (const lease of [a, other]) lease.release();
  });

  it("lives as long as a model uses it", async () => {
    const clock = new VirtualClock();
    const shared = new SharedBreakers(clock);
    let probes = 0;
    const count = () => {
      probes++;
      throw new Error("down");
    };
    const first = shared.lease("k", user([], "a", count));
    first.breaker.trip("down");
    const reloaded = shared.lease("k", user([], "a", count));
    first.release();
    assert.equal(reloaded.breaker.state, 1);
    reloaded.release();
    await clock.advance(100_000);
    assert.equal(probes, 0);
    const fresh = shared.lease("k", user([], "a", count));
    assert.equal(fresh.breaker.state, 0);
    fresh.release();
  });
});

describe("readiness", () => {
  const NEVER_OPEN = Number.NEGATIVE_INFINITY;

  it("counts from the target that was taken back first", () => {
    assert.equal(readyFromMs([undefined, 3_000, 1_000]), 1_000 + READY_AFTER_MS);
    assert.equal(readyFromMs([NEVER_OPEN, 3_000]), NEVER_OPEN);
    assert.equal(readyFromMs([undefined]), Number.POSITIVE_INFINITY);
  });

  it("goes with the last target and comes back after a whole window, however often it opens in between", async () => {
    const clock = new VirtualClock();
    const again: number[] = [];
    const readiness = new Readiness(clock, () => again.push(clock.now()));
    readiness.update([undefined, NEVER_OPEN]);
    assert.equal(readiness.isReady, true);
    readiness.update([undefined, undefined]);
    assert.equal(readiness.isReady, false);
    for (let i = 0; i < 5; i++) {
      await clock.advance(2_000);
      readiness.update([undefined, clock.now()]);
      await clock.advance(READY_AFTER_MS - 1);
      assert.equal(readiness.isReady, false);
      readiness.update([undefined, undefined]);
    }
    assert.deepEqual(again, []);
    readiness.update([undefined, clock.now()]);
    const backMs = clock.now();
    await clock.advance(READY_AFTER_MS);
    assert.deepEqual([readiness.isReady, again], [true, [backMs + READY_AFTER_MS]]);
    readiness.update([clock.now(), backMs]);
    assert.equal(readiness.isReady, true);
    readiness.close();
  });

  it("leaves no timer behind when it is closed", async () => {
    const clock = new VirtualClock();
    const again: number[] = [];
    const readiness = new Readiness(clock, () => again.push(clock.now()));
    readiness.update([undefined]);
    readiness.update([clock.now()]);
    readiness.close();
    await clock.advance(10 * READY_AFTER_MS);
    assert.deepEqual(again, []);
  });
});
