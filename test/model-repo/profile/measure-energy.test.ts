import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { EnergyMeter } from "../../../model-repo/meters/energy-meter.ts";
import { integrator } from "../../../model-repo/meters/nvml.ts";
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

  it("reads a meter that adds up power all the time", async () => {
    const { clock, instance } = machine(1);
    let isBusy = false;
    // The instance computes half of the time, which readings at the window's ends would not see.
    const halfBusy = {
      name: "half",
      execute: async () => {
        isBusy = true;
        const result = await instance.execute([]);
        isBusy = false;
        await new Promise<void>((resolve) => clock.at(clock.now() + 100, resolve));
        return result;
      },
      close: async () => undefined,
    };
    const meter: EnergyMeter = {
      source: "nvml:GPU-0",
      scope: "gpu",
      method: "power-integral",
      ordinal: 0,
      tickMs: 10,
      readJoules: integrator(
        () => (isBusy ? 130 : 30),
        () => clock.now(),
      ),
    };
    const window = { meters: [meter], idleWatts: 30, instances: [halfBusy], batches: [[]], clock };
    const energy = await driven(clock, measureEnergy(window));
    assert.ok(energy !== null && Math.abs(energy.joules - 10) < 1, `${energy?.joules} J`);
  });

  it("fails with the run that fails, and with the meter", async () => {
    const { clock, instance, meters } = machine(1);
    const window = { meters, idleWatts: 30, instances: [instance], batches: [[]], clock };
    instance.failure = new Error("the model chokes");
    await assert.rejects(driven(clock, measureEnergy(window)), /the model chokes/);
    let readings = 0;
    const readJoules = () => {
      if (readings++ > 3) throw new Error("the meter is gone");
      return 0;
    };
    const gone = meters.map((meter) => ({ ...meter, method: "power-integral" as const, readJoules }));
    await assert.rejects(driven(clock, measureIdleWatts(gone, clock)), /the meter is gone/);
  });

  it("is not known, rather than zero, where it is lost in the noise", async () => {
    const { clock, instance, meters } = machine(1, 0);
    const window = { meters, idleWatts: 31, instances: [instance], batches: [[]], clock };
    assert.equal(await driven(clock, measureEnergy(window)), null);
  });
});
