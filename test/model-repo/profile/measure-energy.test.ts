import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { EnergyMeter } from "../../../model-repo/meters/energy-meter.ts";
import { measureEnergy, measureIdleWatts } from "../../../model-repo/profile/measure-energy.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import { TimedInstance } from "../../support/timed-instance.ts";

/** A machine that draws 30 W, and 5 J more with every run of its instance; two meters see half of it each. */
function machine(tickMs: number, joulesPerRun = 5) {
  const clock = new VirtualClock();
  const instance = new TimedInstance(clock, 100);
  const readJoules = () => ((clock.now() / 1000) * 30 + instance.batches.length * joulesPerRun) / 2;
  const meter = (source: string): EnergyMeter => ({
    source,
    scope: "package",
    method: "counter",
    ordinal: -1,
    tickMs,
    readJoules,
  });
  return { clock, instance, meters: [meter("rapl:package-0"), meter("rapl:dram-0")] };
}

async function driven<T>(clock: VirtualClock, result: Promise<T>): Promise<T> {
  let isDone = false;
  const end = () => {
    isDone = true;
  };
  result.then(end, end);
  while (!isDone) await clock.advance(500);
  return result;
}

describe("measureEnergy", () => {
  it("is what a run takes above idle, by all meters", async () => {
    const { clock, instance, meters } = machine(1);
    const idleWatts = await driven(clock, measureIdleWatts(meters, clock));
    assert.equal(idleWatts, 30);
    const window = { meters, idleWatts, instances: [instance], batches: [[]], clock };
    const energy = await driven(clock, measureEnergy(window));
    assert.equal(energy?.source, "rapl:package-0+rapl:dram-0");
    assert.ok(Math.abs(energy.joules - 5) < 1e-9, `${energy.joules}`);
    assert.equal(instance.batches.length, 20);
  });

  it("takes a window many times the counter's tick", async () => {
    const { clock, instance, meters } = machine(500);
    await driven(clock, measureEnergy({ meters, idleWatts: 30, instances: [instance], batches: [[]], clock }));
    assert.equal(instance.batches.length, 100);
  });

  it("is not known, rather than zero, where it is lost in the noise", async () => {
    const { clock, instance, meters } = machine(1, 0);
    const window = { meters, idleWatts: 31, instances: [instance], batches: [[]], clock };
    assert.equal(await driven(clock, measureEnergy(window)), null);
  });
});
