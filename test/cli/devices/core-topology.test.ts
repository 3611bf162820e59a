import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { physicalCores } from "../../../cli/devices/core-topology.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

function core(cpu: number, siblings: string, maxKhz: number): Record<string, string> {
  const folder = `devices/system/cpu/cpu${cpu}`;
  return {
    [`${folder}/topology/thread_siblings_list`]: `${siblings}\n`,
    [`${folder}/cpufreq/cpuinfo_max_freq`]: `${maxKhz}\n`,
  };
}

/** Two fast cores with two threads each and two slow ones with one. */
const HYBRID = {
  ...core(0, "0,2", 5_000_000),
  ...core(1, "1,3", 5_000_000),
  ...core(2, "0,2", 5_000_000),
  ...core(3, "1,3", 5_000_000),
  ...core(4, "4", 3_000_000),
  ...core(10, "10", 3_000_000),
  "devices/system/cpu/cpufreq/": "",
};

describe("physicalCores", () => {
  it("puts the threads of a core together", async (context) => {
    const root = await temporaryFiles(context, HYBRID);
    assert.deepEqual(physicalCores(root, new Set([0, 1, 2, 3, 4, 10])), [
      { cpus: [0, 2], maxKhz: 5_000_000 },
      { cpus: [1, 3], maxKhz: 5_000_000 },
      { cpus: [4], maxKhz: 3_000_000 },
      { cpus: [10], maxKhz: 3_000_000 },
    ]);
  });

  it("leaves out what the process may not use", async (context) => {
    const root = await temporaryFiles(context, HYBRID);
    assert.deepEqual(
      physicalCores(root, new Set([2, 3, 1])).map(({ cpus }) => cpus),
      [[1, 3], [2]],
    );
  });

  it("takes every number for a core where the kernel tells nothing", async (context) => {
    const root = await temporaryFiles(context, {});
    assert.deepEqual(physicalCores(root, new Set([1, 0])), [
      { cpus: [0], maxKhz: 0 },
      { cpus: [1], maxKhz: 0 },
    ]);
  });
});
