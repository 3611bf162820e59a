import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SystemClock, VirtualClock } from "../../scheduler/clock.ts";
import { WakeUp } from "../../scheduler/wake-up.ts";

describe("VirtualClock", () => {
  it("runs what is due in order of time, then of registration, and only that", async () => {
    const clock = new VirtualClock();
    const log: string[] = [];
    clock.at(5, () => log.push(`b at ${clock.now()}`));
    clock.at(3, () => log.push(`a at ${clock.now()}`));
    clock.at(5, () => log.push(`c at ${clock.now()}`));
    clock.at(5.1, () => log.push("too early"));
    const cancel = clock.at(4, () => log.push("cancelled"));
    cancel();
    clock.soon(() => log.push(`soon at ${clock.now()}`));
    await clock.advance(5);
    assert.deepEqual(log, ["soon at 0", "a at 3", "b at 5", "c at 5"]);
    assert.equal(clock.now(), 5);
  });

  it("settles promises before each callback and runs what callbacks ask for", async () => {
    const clock = new VirtualClock();
    const log: string[] = [];
    clock.at(1, () => {
      void Promise.resolve().then(() => log.push("promise"));
      clock.at(2, () => log.push("second"));
    });
    await clock.advance(2);
    assert.deepEqual(log, ["promise", "second"]);
  });
});

describe("SystemClock", () => {
  it("calls back once the time has come, and not when cancelled", async () => {
    const clock = new SystemClock();
    const wanted = clock.now() + 2;
    clock.at(wanted - 1, () => assert.fail("was cancelled"))();
    await new Promise<void>((resolve) => clock.at(wanted, resolve));
    assert.ok(clock.now() >= wanted - 1, "Node's timers count whole milliseconds");
    await new Promise<void>((resolve) => clock.soon(resolve));
    assert.ok(Math.abs(clock.epochMs() - Date.now()) < 60_000);
  });
});

describe("WakeUp", () => {
  it("keeps the earliest time and forgets on cancel", async () => {
    const clock = new VirtualClock();
    const woken: number[] = [];
    const wakeUp = new WakeUp(clock, () => woken.push(clock.now()));
    wakeUp.schedule(10);
    wakeUp.schedule(4);
    wakeUp.schedule(7);
    wakeUp.schedule(Number.POSITIVE_INFINITY);
    await clock.advance(20);
    assert.deepEqual(woken, [4]);
    wakeUp.schedule(30);
    wakeUp.cancel();
    await clock.advance(20);
    assert.deepEqual(woken, [4]);
  });
});
