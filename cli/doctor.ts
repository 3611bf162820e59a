/** `hybridserve doctor`: what this machine offers and what stands in the way of serving on it. */
import { parseArgs } from "node:util";
import type { AbsentMeter, EnergyMeter, EnergyMeters } from "../model-repo/meters/energy-meter.ts";
import { openMeters } from "../model-repo/meters/open-meters.ts";
import { describeOnnxRuntime, type ExecutionProvider, type OnnxRuntimeReport } from "../model-repo/onnx-providers.ts";
import { InferenceError } from "../proto/errors.ts";
import { type Command, type CommandIo, EXIT_FAILED, EXIT_OK, parseErrorText, usageError } from "./command.ts";
import { type DevicesFlags, writeDevices } from "./devices/write-devices.ts";
import { describeMachine, type Machine } from "./machine.ts";
import { packageVersion } from "./package-version.ts";

const FORMAT_VERSION = 1;

/** The native libraries of Node 22 and onnxruntime-node ask for this one. */
const MIN_GLIBC = "2.28";
const NODE_MAJOR = 22;
/** Each connection is an open file. */
const MIN_OPEN_FILES = 4_096;
/** Clients that pass tensors in shared memory put them here; Docker's default is 64 MiB. */
const MIN_SHARED_MEMORY_BYTES = 256 * 1024 * 1024;

const HELP = `Usage: hybridserve doctor [flags]

Shows versions, machine, execution providers, energy meters and limits, and what stands in the way of serving here. With
--devices it writes a first devices.json for 'hybridserve profile' and 'hybridserve plan': a device for each physical core
and each NVIDIA card that models can run on. Where the processors have an energy meter, their idle and busy power is
measured too, which keeps every core busy for some seconds.

Flags:
  --devices            write a first devices.json
  --output FILE        where to; default: to standard output
  --sysfs-root DIR     the system's tree, where it is not /sys: a container may have the host's elsewhere
  --nvml-library FILE  NVIDIA's libnvidia-ml, where the loader does not find it
  --json               print the findings, or with --devices the devices, as JSON
  --help               print this

Examples:
  hybridserve doctor
  hybridserve doctor --devices --output devices.json

Exit codes: 0 ready to serve, 1 something is missing, 2 bad usage.
`;

const OPTIONS = {
  devices: { type: "boolean", default: false },
  output: { type: "string" },
  "sysfs-root": { type: "string" },
  "nvml-library": { type: "string" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

/** Everything the command found out. */
export interface DoctorReport {
  readonly hybridserve: string;
  readonly node: string;
  readonly machine: Machine;
  /** The runtime, or the sentence that says why it cannot be loaded. */
  readonly onnxruntime: OnnxRuntimeReport | { readonly error: string };
  readonly meters: {
    readonly present: readonly Pick<EnergyMeter, "source" | "scope" | "method">[];
    readonly absent: readonly AbsentMeter[];
  };
}

/** Something that keeps models from being served, or that may hurt later. */
export interface Finding {
  readonly severity: "failure" | "note";
  readonly text: string;
}

export const doctorCommand: Command = {
  name: "doctor",
  summary: "show what this machine offers and what is missing",
  help: HELP,
  run: doctor,
};

async function doctor(argv: readonly string[], io: CommandIo): Promise<number> {
  let values: DoctorFlags;
  try {
    values = parseFlags(argv);
  } catch (error) {
    return usageError(io, "doctor", parseErrorText(error, Object.keys(OPTIONS)));
  }
  if (values.help) {
    io.stdout(HELP);
    return EXIT_OK;
  }
  const meters = await openMeters({
    ...(values["sysfs-root"] === undefined ? {} : { sysfsRoot: values["sysfs-root"] }),
    ...(values["nvml-library"] === undefined ? {} : { nvmlLibrary: values["nvml-library"] }),
  });
  try {
    return values.devices ? await writeDevices(values, meters, io) : await report(values, meters, io);
  } catch (error) {
    io.stderr(`error: ${InferenceError.from(error).message}\n`);
    return EXIT_FAILED;
  } finally {
    meters.close();
  }
}

interface DoctorFlags extends DevicesFlags {
  readonly devices: boolean;
  readonly json: boolean;
  readonly help: boolean;
}

function parseFlags(argv: readonly string[]): DoctorFlags {
  const { values } = parseArgs({ args: [...argv], options: OPTIONS, strict: true, allowPositionals: false });
  if (values.output !== undefined && !values.devices) {
    throw new InferenceError("INVALID_ARGUMENT", "--output is where --devices writes: give both");
  }
  return values;
}

async function report({ json }: DoctorFlags, meters: EnergyMeters, io: CommandIo): Promise<number> {
  const found: DoctorReport = {
    hybridserve: packageVersion(),
    node: process.versions.node,
    machine: describeMachine(),
    onnxruntime: await describeOnnxRuntime().catch((error: unknown) => ({
      error: InferenceError.from(error).message,
    })),
    meters: {
      present: meters.present.map(({ source, scope, method }) => ({ source, scope, method })),
      absent: meters.absent,
    },
  };
  const findings = examine(found);
  const ok = findings.every(({ severity }) => severity === "note");
  io.stdout(
    json
      ? `${JSON.stringify({ formatVersion: FORMAT_VERSION, ok, ...found, findings }, null, 2)}\n`
      : toText(found, findings),
  );
  return ok ? EXIT_OK : EXIT_FAILED;
}

/** What is wrong or narrow. Pure. */
export function examine({ node, machine, onnxruntime }: DoctorReport): Finding[] {
  const findings: Finding[] = [];
  const fail = (text: string): number => findings.push({ severity: "failure", text });
  const note = (text: string): number => findings.push({ severity: "note", text });
  if (Number(node.split(".")[0]) !== NODE_MAJOR) {
    fail(`Node ${node} runs this program; it is made for Node ${NODE_MAJOR}, which 'npm ci' installs beside it`);
  }
  if ("error" in onnxruntime) fail(onnxruntime.error);
  const { glibc } = machine;
  if (machine.system.includes("Linux") && glibc === undefined) {
    fail("this system has no glibc (Alpine has musl): use a Debian, Ubuntu, Fedora or RHEL image");
  } else if (glibc !== undefined && isOlder(glibc, MIN_GLIBC)) {
    fail(
      `glibc ${glibc} is too old: Node ${NODE_MAJOR} and onnxruntime-node need ${MIN_GLIBC} (Debian 10, RHEL 8 or newer)`,
    );
  }
  const { soft, hard } = machine.openFiles;
  if (soft !== "unlimited" && soft < MIN_OPEN_FILES) {
    note(`at most ${soft} open files, and so connections: 'ulimit -n ${hard}' before the start allows ${hard}`);
  }
  const { coreQuota, cores, sharedMemory } = machine;
  if (coreQuota !== undefined && coreQuota < cores) {
    note(`the control group grants the time of ${coreQuota} cores, less than the ${cores} that models are spread over`);
  }
  if (sharedMemory !== undefined && sharedMemory.sizeBytes < MIN_SHARED_MEMORY_BYTES) {
    note(
      `/dev/shm holds ${bytes(sharedMemory.sizeBytes)}; clients with large tensors in it need more (docker: --shm-size=1g)`,
    );
  }
  return findings;
}

/** The report for people. Pure. */
export function toText(
  { hybridserve, node, machine, onnxruntime, meters }: DoctorReport,
  findings: readonly Finding[],
): string {
  const { openFiles, sharedMemory, coreQuota, memoryLimitBytes } = machine;
  const rows: readonly (readonly [string, string])[] = [
    ["hybridserve", hybridserve],
    ["Node", node],
    ["onnxruntime-node", "error" in onnxruntime ? "cannot be loaded" : onnxruntime.version],
    ["", ""],
    ["System", machine.system],
    ["glibc", machine.glibc ?? "none"],
    ["Processor", machine.cpuModel],
    ["Cores", `${machine.cores}${coreQuota === undefined ? "" : ` (control group: the time of ${coreQuota})`}`],
    [
      "Memory",
      bytes(machine.memoryBytes) +
        (memoryLimitBytes === undefined ? "" : ` (control group: ${bytes(memoryLimitBytes)})`),
    ],
    [
      "Open files",
      openFiles.soft === openFiles.hard ? `${openFiles.soft}` : `${openFiles.soft} (hard: ${openFiles.hard})`,
    ],
    [
      "/dev/shm",
      sharedMemory === undefined ? "none" : `${bytes(sharedMemory.sizeBytes)}, ${bytes(sharedMemory.freeBytes)} free`,
    ],
  ];
  const lines = rows.map(([label, value]) => (label === "" ? "" : `${label.padEnd(18)}${value}`));
  if (!("error" in onnxruntime)) {
    lines.push("", "Execution providers of onnxruntime-node (models run on cpu):");
    for (const provider of onnxruntime.providers) {
      lines.push(`  ${provider.name.padEnd(16)}${providerText(provider, onnxruntime.packageDirectory)}`);
    }
  }
  lines.push("", `Energy meters${meters.present.length === 0 ? ": none, energy is not measured here" : ":"}`);
  for (const { source, scope, method } of meters.present) {
    lines.push(`  ${source.padEnd(16)}${scope}${method === "counter" ? "" : ", power readings added up"}`);
  }
  for (const { source, reason } of meters.absent) lines.push(`  ${source.padEnd(16)}not there: ${reason}`);
  lines.push("");
  for (const { severity, text } of findings) lines.push(`${severity}: ${text}`);
  const isReady = findings.every(({ severity }) => severity === "note");
  lines.push(isReady ? "Ready to serve." : "Not ready to serve: see the failures above.");
  return `${lines.join("\n")}\n`;
}

function providerText({ name, state }: ExecutionProvider, packageDirectory: string): string {
  if (state === "bundled") return "bundled";
  if (state === "installed") return "installed";
  if (name !== "cuda" && name !== "tensorrt") return "not installed";
  if (process.platform !== "linux" || process.arch !== "x64") return "not available for this system";
  const needs = name === "cuda" ? "CUDA 12 and cuDNN 9" : "CUDA 12, cuDNN 9 and TensorRT 10";
  return `not installed; needs ${needs}, then: node ${packageDirectory}/script/install.js --onnxruntime-node-install=cuda12`;
}

function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [thanMajor = 0, thanMinor = 0] = than.split(".").map(Number);
  return major < thanMajor || (major === thanMajor && minor < thanMinor);
}

/** `7.8 GiB`, `64 MiB`. */
function bytes(count: number): string {
  const gibibytes = count / 2 ** 30;
  return gibibytes >= 1 ? `${Number(gibibytes.toFixed(1))} GiB` : `${Math.round(count / 2 ** 20)} MiB`;
}
