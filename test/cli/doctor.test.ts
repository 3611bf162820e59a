import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type DoctorReport, doctorCommand, examine, toText } from "../../cli/doctor.ts";
import type { Machine } from "../../cli/machine.ts";
import { readDevicesFile } from "../../proto/files/devices-file.ts";
import { temporaryFiles } from "../support/temporary-files.ts";

const GIB = 2 ** 30;
const MACHINE: Machine = {
  system: "Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x64",
  glibc: "2.36",
  cpuModel: "Some Processor",
  cores: 8,
  coreQuota: undefined,
  memoryBytes: 16 * GIB,
  memoryLimitBytes: undefined,
  openFiles: { soft: 20_000, hard: 20_000 },
  sharedMemory: { freeBytes: GIB, sizeBytes: 8 * GIB },
};
const REPORT: DoctorReport = {
  hybridserve: "1.2.3",
  node: "22.1.0",
  machine: MACHINE,
  onnxruntime: {
    version: "1.30.0",
    packageDirectory: "/app/onnxruntime-node",
    providers: [
      { name: "cpu", state: "bundled" },
      { name: "cuda", state: "installed" },
    ],
  },
  meters: {
    present: [
      { source: "rapl:package-0", scope: "package", method: "counter" },
      { source: "nvml:GPU-1", scope: "gpu", method: "power-integral" },
    ],
    absent: [{ source: "nvml:1", reason: "GPU is lost" }],
  },
};

async function doctor(...argv: string[]) {
  let stdout = "";
  let stderr = "";
  const code = await doctorCommand.run(argv, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

describe("hybridserve doctor", () => {
  it("shows versions, machine, providers and limits", () => {
    assert.equal(
      toText(REPORT, examine(REPORT)),
      `hybridserve       1.2.3
Node              22.1.0
onnxruntime-node  1.30.0

System            Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x64
glibc             2.36
Processor         Some Processor
Cores             8
Memory            16 GiB
Open files        20000
/dev/shm          8 GiB, 1 GiB free

Execution providers of onnxruntime-node (models run on cpu):
  cpu             bundled
  cuda            installed

Energy meters:
  rapl:package-0  package
  nvml:GPU-1      gpu, power readings added up
  nvml:1          not there: GPU is lost

Ready to serve.
`,
    );
  });

  const failures: readonly (readonly [string, Partial<DoctorReport>, RegExp])[] = [
    ["another Node", { node: "24.0.0" }, /^Node 24\.0\.0 runs this program; it is made for Node 22/],
    [
      "no runtime",
      { onnxruntime: { error: "onnxruntime-node cannot be loaded" } },
      /^onnxruntime-node cannot be loaded$/,
    ],
    ["musl", { machine: { ...MACHINE, glibc: undefined } }, /^this system has no glibc \(Alpine has musl\)/],
    ["an old glibc", { machine: { ...MACHINE, glibc: "2.17" } }, /^glibc 2\.17 is too old.*need 2\.28/],
  ];
  for (const [what, change, text] of failures) {
    it(`calls ${what} a failure`, () => {
      const report = { ...REPORT, ...change };
      const findings = examine(report);
      assert.equal(findings.length, 1);
      assert.equal(findings[0]?.severity, "failure");
      assert.match(findings[0].text, text);
      assert.match(toText(report, findings), /\nfailure: .*\nNot ready to serve: see the failures above\.\n$/);
    });
  }

  const notes: readonly (readonly [string, Partial<Machine>, RegExp])[] = [
    ["few open files", { openFiles: { soft: 1024, hard: 524_288 } }, /^at most 1024 open files.*'ulimit -n 524288'/],
    ["a core quota", { coreQuota: 1.5 }, /^the control group grants the time of 1\.5 cores, less than the 8/],
    ["little shared memory", { sharedMemory: { freeBytes: 1, sizeBytes: 64 * 2 ** 20 } }, /^\/dev\/shm holds 64 MiB/],
  ];
  for (const [what, change, text] of notes) {
    it(`notes ${what}`, () => {
      const report = { ...REPORT, machine: { ...MACHINE, ...change } };
      const findings = examine(report);
      assert.equal(findings.length, 1);
      assert.match(findings[0]?.text ?? "", text);
      assert.match(toText(report, findings), /\nnote: .*\nReady to serve\.\n$/);
    });
  }

  it("does not miss glibc where there is no Linux", () => {
    const machine = { ...MACHINE, system: "Darwin 24.0.0 arm64", glibc: undefined, sharedMemory: undefined };
    assert.deepEqual(examine({ ...REPORT, machine }), []);
  });

  it("examines this machine", async () => {
    const { code, stdout, stderr } = await doctor("--json");
    assert.equal(stderr, "");
    const report = JSON.parse(stdout) as DoctorReport & { formatVersion: number; ok: boolean };
    assert.equal(report.formatVersion, 1);
    assert.equal(code, report.ok ? 0 : 1);
    assert.equal(report.node, process.versions.node);
    assert.ok(report.machine.cores > 0 && report.machine.memoryBytes > 0);
    assert.ok("providers" in report.onnxruntime && report.onnxruntime.providers.some(({ name }) => name === "cpu"));
  });

  it("writes a first devices.json of this machine", async (context) => {
    const topology = "devices/system/cpu/cpu0/topology/thread_siblings_list";
    const root = await temporaryFiles(context, { [topology]: "0\n" });
    const output = join(root, "devices.json");
    const nvml = join(root, "no-library");
    const { code, stdout, stderr } = await doctor(
      ...["--devices", "--output", output, "--sysfs-root", root, "--nvml-library", nvml],
    );
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /^Written: .*devices\.json: 1 of class 'core'\. Next:\n {2}hybridserve profile --model-repository DIR --model NAME --devices /,
    );
    assert.match(
      stderr,
      /^note: watts are not known \(null\): this machine's processors have no readable energy meter/,
    );
    const { devices, classes } = readDevicesFile(await readFile(output, "utf8"), output);
    assert.deepEqual(
      devices.map(({ id, cpus }) => [id, cpus]),
      [["core-0", "0"]],
    );
    assert.equal(classes[0]?.watts, null);
    const asJson = await doctor(
      ...["--devices", "--output", output, "--json", "--sysfs-root", root, "--nvml-library", nvml],
    );
    assert.equal(asJson.stdout, await readFile(output, "utf8"));
  });

  it("writes devices only where they were asked for, and says where it cannot", async () => {
    const alone = await doctor("--output", "devices.json");
    assert.deepEqual([alone.code, alone.stdout], [2, ""]);
    assert.match(alone.stderr, /--output is where --devices writes: give both/);
    const nowhere = await doctor("--devices", "--output", "/nowhere/devices.json", "--sysfs-root", "/nowhere");
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /error: cannot write --output: ENOENT/);
  });

  it("knows its flags", async () => {
    assert.equal((await doctor("--help")).code, 0);
    const unknown = await doctor("--jsno");
    assert.deepEqual([unknown.code, unknown.stdout], [2, ""]);
    assert.match(unknown.stderr, /Unknown option '--jsno'\nSee: hybridserve doctor --help/);
  });
});
