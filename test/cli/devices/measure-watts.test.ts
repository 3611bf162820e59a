import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { busyThreads, measureWatts } from "../../../cli/devices/measure-watts.ts";
import type { EnergyMeter } from "../../../model-repo/meters/energy-meter.ts";

/** A machine that draws 20 W idle and 100 W busy, half of it told by each of two meters. */
function machine() {
  let nowMs = 0;
  let joules = 0;
  let isBusy = false;
  const meter = (source: string): EnergyMeter => ({
    source,
    scope: "package",
    method: "counter",
    ordinal: -1,
    tickMs: 1,
    readJoules: () => joules / 2,
  });
  return {
    isBusy: () => isBusy,
    options: {
      meters: [meter("rapl:package-0"), meter("rapl:package-1")],
      devices: 4,
      windowMs: 2_000,
      keepBusy: async () => {
        isBusy = true;
        return async () => {
          isBusy = false;
        };
      },
      sleep: async (ms: number) => {
        nowMs += ms;
        joules += ((isBusy ? 100 : 20) * ms) / 1000;
      },
      nowMs: () => nowMs,
    },
  };
}

describe("measureWatts", () => {
  it("shares out what all meters count, idle and busy, and says how it was measured", async () => {
    const { options, isBusy } = machine();
    assert.deepEqual(await measureWatts(options), {
      bare: 5,
      idle: 5,
      active: 25,
      source: "measured: rapl:package-0+rapl:package-1, idle and with a busy loop on every core, shared by 4 devices",
    });
    assert.equal(isBusy(), false);
  });

  it("knows nothing without a meter", async () => {
    const { options } = machine();
    assert.equal(await measureWatts({ ...options, meters: [] }), null);
  });

  it("stops the load where a meter fails", async () => {
    const { options, isBusy } = machine();
    const [first] = options.meters;
    assert.ok(first);
    const failing = {
      ...first,
      readJoules: () => {
        if (isBusy()) throw new Error("gone");
        return 0;
      },
    };
    await assert.rejects(measureWatts({ ...options, meters: [failing] }), /gone/);
    assert.equal(isBusy(), false);
  });

  it("has a load that keeps a core busy while nothing else runs", async () => {
    const stop = await busyThreads(1);
    const before = process.cpuUsage().user;
    // This thread waits without using the processor; a moment is needed to see the other one use it.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
    const usedUs = process.cpuUsage().user - before;
    await stop();
    assert.ok(usedUs > 5_000, `${usedUs} us`);
  });
});
