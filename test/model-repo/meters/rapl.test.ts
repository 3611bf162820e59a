import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { sourceOf, sumJoules } from "../../../model-repo/meters/energy-meter.ts";
import { openMeters } from "../../../model-repo/meters/open-meters.ts";
import { grownBy, raplMeters, unreadable } from "../../../model-repo/meters/rapl.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const RANGE = "1000000000\n";

function zone(path: string, name: string, energy: string): Record<string, string> {
  const folder = `class/powercap/${path}`;
  return {
    [`${folder}/name`]: `${name}\n`,
    [`${folder}/energy_uj`]: `${energy}\n`,
    [`${folder}/max_energy_range_uj`]: RANGE,
  };
}

/** Two packages, one with memory, and all that would count them twice. */
const MACHINE = {
  ...zone("intel-rapl:0", "package-0", "5000000"),
  ...zone("intel-rapl:0:0", "core", "4000000"),
  ...zone("intel-rapl:0:1", "dram", "100"),
  ...zone("intel-rapl:1", "package-1", "999000000"),
  ...zone("intel-rapl:2", "psys", "7"),
  ...zone("intel-rapl-mmio:0", "package-0", "5000000"),
  "class/powercap/intel-rapl/enabled": "1\n",
};

describe("RAPL meters", () => {
  it("are the packages and their memory, nothing that would count twice", async (context) => {
    const root = await temporaryFiles(context, MACHINE);
    const { present, absent } = raplMeters(root);
    assert.deepEqual(
      present.map(({ source, scope }) => [source, scope]),
      [
        ["rapl:package-0", "package"],
        ["rapl:dram-0", "dram"],
        ["rapl:package-1", "package"],
      ],
    );
    assert.deepEqual(absent, []);
    assert.equal(sourceOf(present), "rapl:package-0+rapl:dram-0+rapl:package-1");
  });

  it("count joules from where they were opened, over the counter's end too", async (context) => {
    const root = await temporaryFiles(context, MACHINE);
    const { present } = raplMeters(root);
    assert.equal(sumJoules(present), 0);
    const set = (path: string, energy: number) =>
      writeFile(join(root, "class/powercap", path, "energy_uj"), `${energy}`);
    await set("intel-rapl:0", 7_500_000);
    await set("intel-rapl:0:1", 1_000_100);
    // 1 J up to the end of the range and 3 J from 0.
    await set("intel-rapl:1", 3_000_000);
    assert.deepEqual(
      present.map((meter) => meter.readJoules()),
      [2.5, 1, 4],
    );
    await set("intel-rapl:1", 2_000_000);
    assert.equal(present[2]?.readJoules(), 4 + 999);
    assert.equal(grownBy(10, 10, 100), 0);
  });

  it("are absent with the way to mend it where the counter cannot be read", async (context) => {
    // Root may read everything: a folder in the file's place cannot be read by anybody.
    const root = await temporaryFiles(context, {
      "class/powercap/intel-rapl:0/name": "package-0\n",
      "class/powercap/intel-rapl:0/energy_uj/": "",
      ...zone("intel-rapl:1", "package-1", "many"),
    });
    const { present, absent } = raplMeters(root);
    assert.deepEqual(present, []);
    assert.match(absent[0]?.reason ?? "", /^rapl:package-0: .*energy_uj: it cannot be read: .*EISDIR/);
    assert.match(absent[1]?.reason ?? "", /^rapl:package-1: .*energy_uj holds 'many', expected microjoules$/);
  });

  it("say how to let others than root read", () => {
    const denied = Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" });
    const { code, message } = unreadable("rapl:package-0", "/sys/energy_uj", denied);
    assert.equal(code, "UNAVAILABLE");
    assert.equal(
      message,
      "rapl:package-0: /sys/energy_uj: only root may read it (CVE-2020-8694): run as root, or " +
        "'chmod o+r /sys/energy_uj' as root after each boot",
    );
  });

  it("fail with the source where the counter goes away", async (context) => {
    const root = await temporaryFiles(context, zone("intel-rapl:0", "package-0", "1"));
    const [meter] = raplMeters(root).present;
    await rm(join(root, "class/powercap/intel-rapl:0/energy_uj"));
    assert.throws(() => meter?.readJoules(), /rapl:package-0: .*ENOENT/);
  });

  it("are absent, not zero, on a machine without any", async (context) => {
    const root = await temporaryFiles(context, { "class/": "" });
    const meters = await openMeters({ sysfsRoot: root, nvmlLibrary: join(root, "libnvidia-ml.so.1") });
    context.after(() => meters.close());
    assert.deepEqual(meters.present, []);
    assert.deepEqual(
      meters.absent.map(({ source }) => source),
      ["rapl", "nvml"],
    );
    assert.match(meters.absent[0]?.reason ?? "", /no package counter in .*virtual machines/);
    assert.match(meters.absent[1]?.reason ?? "", /libnvidia-ml\.so\.1 cannot be loaded, install the NVIDIA driver/);
  });
});
