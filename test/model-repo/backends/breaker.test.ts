/** The circuit breaker of remote levels, in virtual time; against a reference model of 40 lines. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Breaker, type BreakerState } from "../../../model-repo/backends/breaker.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";

function setUp(probe: () => Promise<void> = () => Promise.resolve()) {
  const clock = new VirtualClock();
  const changes: string[] = [];
  const breaker = new Breaker({
    clock,
    probe,
    random: () => 0.5, // no jitter
    onChange: (state, reason) => changes.push(`${clock.now()}: ${state} ${reason}`.trimEnd()),
  });
  return { clock, breaker, changes };
}

describe("Breaker", () => {
  it("opens with the twentieth outcome where more than half failed", async () => {
    const { clock, breaker, changes } = setUp();
    for (let i = 0; i < 9; i++) breaker.record("success", "", clock.now());
    for (let i = 0; i < 10; i++) breaker.record("failure", "down", clock.now());
    await clock.advance(0);
    assert.equal(breaker.state, 0);
    breaker.record("failure", "down", clock.now());
    await clock.advance(0);
    assert.equal(breaker.state, 1);
    assert.deepEqual(changes, ["0: 1 down"]);
    breaker.close();
  });

  it("stays closed at exactly half, at 5 % for ten minutes, and whatever clients do wrong", async () => {
    const { clock, breaker, changes } = setUp();
    for (let i = 0; i < 100; i++) {
      breaker.record("success", "", clock.now());
      breaker.record("failure", "down", clock.now());
    }
    for (let i = 0; i < 1_000; i++) breaker.record("neutral", "", clock.now());
    await clock.advance(10_000);
    for (let second = 0; second < 600; second++) {
      for (let i = 0; i < 20; i++) breaker.record(i === 7 ? "failure" : "success", "down", clock.now());
      await clock.advance(1_000);
    }
    assert.deepEqual(changes, []);
    breaker.close();
  });

  it("opens within a second at 100 calls a second that all fail", async () => {
    const { clock, breaker } = setUp();
    for (let i = 0; i < 600; i++) {
      breaker.record("success", "", clock.now());
      await clock.advance(10);
    }
    await clock.advance(10_000);
    for (let i = 0; i < 100; i++) {
      breaker.record("failure", "down", clock.now());
      await clock.advance(10);
    }
    assert.equal(breaker.state, 1);
    breaker.close();
  });

  it("probes after 1, 2, 4 ... 30 s, closes after three successes and starts with an empty window", async () => {
    const probes: number[] = [];
    let isUp = false;
    const { clock, breaker, changes } = setUp(async () => {
      probes.push(clock.now());
      if (!isUp) throw new Error("still down");
    });
    breaker.trip("down at load");
    await clock.advance(92_000);
    assert.deepEqual(probes, [1_000, 3_000, 7_000, 15_000, 31_000, 61_000, 91_000]);
    isUp = true;
    probes.length = 0;
    await clock.advance(60_000);
    assert.deepEqual(probes, [121_000, 121_500, 122_000]);
    assert.deepEqual(changes, ["0: 1 down at load", "121000: 2 still down", "122000: 0 still down"]);
    for (let i = 0; i < 19; i++) breaker.record("failure", "again", clock.now());
    await clock.advance(0);
    assert.equal(breaker.state, 0);
    breaker.close();
  });

  it("starts over when a probe fails after a success", async () => {
    const results = [true, true, false, true, true, true];
    const { clock, breaker, changes } = setUp(async () => {
      if (results.shift() !== true) throw new Error("flaps");
    });
    breaker.trip("down");
    await clock.advance(60_000);
    assert.deepEqual(changes, ["0: 1 down", "1000: 2 down", "2000: 1 flaps", "4000: 2 flaps", "5000: 0 flaps"]);
    breaker.close();
  });

  it("lets calls go a tenth at first after closing, all of them five seconds later", async () => {
    const { clock, breaker } = setUp();
    const shares: number[] = [];
    const read = () => shares.push(Number(breaker.share.toFixed(3)));
    read();
    assert.equal(breaker.closedSinceMs, Number.NEGATIVE_INFINITY);
    breaker.trip("down");
    read();
    assert.equal(breaker.closedSinceMs, undefined);
    await clock.advance(1_999);
    read();
    await clock.advance(1);
    assert.equal(breaker.closedSinceMs, 2_000);
    for (const ms of [0, 1_000, 1_500, 2_500, 60_000]) {
      await clock.advance(ms);
      read();
    }
    assert.deepEqual(shares, [1, 0, 0, 0.1, 0.28, 0.55, 1, 1]);
    breaker.close();
  });

  it("opens again within the ramp, and the ramp begins anew", async () => {
    const { clock, breaker, changes } = setUp();
    breaker.trip("down");
    await clock.advance(4_000);
    for (let i = 0; i < 20; i++) breaker.record("failure", "again", clock.now());
    await clock.advance(2_000);
    assert.deepEqual(changes.slice(2), ["2000: 0 down", "4000: 1 again", "5000: 2 again", "6000: 0 again"]);
    assert.equal(breaker.share, 0.1);
    breaker.close();
  });

  it("closes at once where the endpoint was seen to serve; a probe still under way decides nothing", async () => {
    const answers: (() => void)[] = [];
    const { clock, breaker, changes } = setUp(() => new Promise((resolve) => answers.push(resolve)));
    breaker.recover(); // is not open
    breaker.trip("down");
    await clock.advance(1_000);
    breaker.recover();
    breaker.trip("down again");
    answers[0]?.();
    await clock.advance(1_000);
    assert.equal(answers.length, 2, "one chain of probes");
    assert.deepEqual(changes, ["0: 1 down", "1000: 0 down", "1000: 1 down again"]);
    breaker.close();
  });

  it("is opened by no outcome that came after the opening", async () => {
    const { clock, breaker, changes } = setUp();
    breaker.trip("down");
    for (let i = 0; i < 40; i++) breaker.record("failure", "late", clock.now());
    await clock.advance(10_000);
    assert.deepEqual(changes, ["0: 1 down", "1000: 2 down", "2000: 0 down"]);
    breaker.close();
  });

  it("is opened by no call that began before it closed and hung until then", async () => {
    const { clock, breaker, changes } = setUp();
    for (let i = 0; i < 20; i++) breaker.record("failure", "timeout", 0);
    await clock.advance(3_000);
    for (let i = 0; i < 100; i++) breaker.record("failure", "timeout", 1_999);
    await clock.advance(0);
    assert.deepEqual(changes, ["0: 1 timeout", "1000: 2 timeout", "2000: 0 timeout"]);
    for (let i = 0; i < 20; i++) breaker.record("failure", "again", 2_000);
    await clock.advance(0);
    assert.equal(breaker.state, 1);
    breaker.close();
  });

  it("leaves no probe behind when it is closed, also during one", async () => {
    let release = () => undefined as unknown;
    let probes = 0;
    const { clock, breaker, changes } = setUp(() => {
      probes++;
      return new Promise<void>((resolve) => {
        release = resolve;
      });
    });
    breaker.trip("down");
    await clock.advance(1_000);
    breaker.close();
    release();
    await clock.advance(100_000);
    assert.deepEqual([probes, changes.length], [1, 1]);
  });
});

/** What a breaker must do: outcomes with their times, the window counted anew every time. */
class Reference {
  state: BreakerState = 0;
  #startMs = 0;
  #outcomes: { second: number; failed: boolean }[] = [];
  #nextProbeMs = Number.POSITIVE_INFINITY;
  #failures = 0;
  #successes = 0;

  record(nowMs: number, failed: boolean): void {
    if (this.state !== 0) return;
    const second = Math.floor((nowMs - this.#startMs) / 1_000);
    this.#outcomes.push({ second, failed });
    this.#outcomes = this.#outcomes.filter((outcome) => outcome.second > second - 10);
    const failures = this.#outcomes.filter((outcome) => outcome.failed).length;
    if (!failed || this.#outcomes.length < 20 || failures * 2 <= this.#outcomes.length) return;
    this.state = 1;
    this.#failures = 0;
    this.#successes = 0;
    this.#nextProbeMs = nowMs + 1_000;
  }

  /** Probes due until `nowMs`. */
  advance(nowMs: number, isUp: (timeMs: number) => boolean): void {
    while (this.#nextProbeMs <= nowMs) {
      const timeMs = this.#nextProbeMs;
      const up = isUp(timeMs);
      this.#successes = up ? this.#successes + 1 : 0;
      this.#failures = up ? 0 : this.#failures + 1;
      this.state = up ? 2 : 1;
      this.#nextProbeMs = timeMs + (up ? 500 : Math.min(30_000, 1_000 * 2 ** this.#failures));
      if (this.#successes < 3) continue;
      this.state = 0;
      this.#startMs = timeMs;
      this.#outcomes = [];
      this.#nextProbeMs = Number.POSITIVE_INFINITY;
    }
  }
}

it("agrees with the reference model in random histories", async () => {
  let seed = 12_345;
  const random = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return seed / 0x80000000;
  };
  const visited = new Set<BreakerState>();
  for (let history = 0; history < 40; history++) {
    const isUp = (timeMs: number) => Math.sin(timeMs / 3_000 + history) > -0.5;
    const { clock, breaker } = setUp(async () => {
      if (!isUp(clock.now())) throw new Error("down");
    });
    const reference = new Reference();
    for (let step = 0; step < 150; step++) {
      const count = Math.floor(random() * 4);
      const failing = isUp(clock.now()) ? 0.3 : 0.9;
      for (let i = 0; i < count; i++) {
        const kind = random();
        if (kind < 0.2) breaker.record("neutral", "", clock.now());
        else {
          const failed = random() < failing;
          breaker.record(failed ? "failure" : "success", "f", clock.now());
          reference.record(clock.now(), failed);
        }
        await clock.advance(0);
      }
      await clock.advance(Math.floor(random() * 400));
      reference.advance(clock.now(), isUp);
      visited.add(reference.state);
      assert.equal(breaker.state, reference.state, `history ${history}, step ${step}`);
    }
    breaker.close();
  }
  assert.deepEqual([...visited].sort(), [0, 1, 2]);
});
