/**
 * `node bench/instances.ts [rounds]`: round trip of one batch to an ONNX instance in a thread and in a child process, by
 * its size; the model gives back what it gets. Rounds of both are interleaved; each figure is the median of the rounds.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OnnxInstance } from "../model-repo/backends/onnx-instance.ts";
import { readProcessCpuSeconds } from "../model-repo/backends/process-usage.ts";
import { type InferenceRequest, NO_PARAMETERS } from "../proto/inference.ts";
import { SystemClock } from "../scheduler/clock.ts";
import { identityModel } from "../test/support/onnx-writer.ts";
import { alignColumns, digits } from "./report.ts";
import { median } from "./statistics.ts";

const SIZES_KB = [1, 147, 588, 5_120] as const;
const ISOLATIONS = ["thread", "process"] as const;
const WARM_UP = 200;
const BATCHES = 1_500;

interface RoundTrip {
  readonly medianUs: number;
  /** Of both ends; a process' own part is known to 10 ms a round. */
  readonly cpuUs: number;
}

async function start(directory: string, columns: number, isolation: "thread" | "process"): Promise<OnnxInstance> {
  const modelPath = join(directory, `${columns}.onnx`);
  await writeFile(modelPath, identityModel("FP32", ["N", columns]));
  const tensor = (name: string) => [{ name, datatype: "FP32" as const, dims: [columns], reshape: undefined }];
  const write = (fields: object, text: string) => process.stderr.write(`${text} ${JSON.stringify(fields)}\n`);
  return OnnxInstance.start({
    name: isolation,
    model: "identity",
    modelPath,
    settings: {
      intraOpThreads: 1,
      interOpThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
      enableMemArena: true,
      enableMemPattern: true,
      extra: {},
    },
    placement: { isolation },
    batches: true,
    inputs: tensor("x"),
    outputs: tensor("y"),
    clock: new SystemClock(),
    log: { info: write, warn: write, error: write },
  });
}

function cpuSeconds(instance: OnnxInstance): number {
  const { user, system } = process.cpuUsage();
  const { pid } = instance.report;
  return (user + system) / 1e6 + (pid === undefined ? 0 : (readProcessCpuSeconds(pid) ?? 0));
}

async function measure(instance: OnnxInstance, request: InferenceRequest): Promise<RoundTrip> {
  for (let i = 0; i < WARM_UP; i++) await instance.execute([request]);
  const times: number[] = [];
  const before = cpuSeconds(instance);
  for (let i = 0; i < BATCHES; i++) {
    const startedMs = performance.now();
    await instance.execute([request]);
    times.push((performance.now() - startedMs) * 1_000);
  }
  return { medianUs: median(times), cpuUs: ((cpuSeconds(instance) - before) * 1e6) / BATCHES };
}

const rounds = Number(process.argv[2] ?? 5);
const directory = await mkdtemp(join(tmpdir(), "hybridserve-bench-"));
const table = [["KB there and back", ...ISOLATIONS.flatMap((isolation) => [`${isolation} us`, "CPU us"])]];
for (const sizeKb of SIZES_KB) {
  const columns = sizeKb * 256;
  const data = new Uint8Array(new Float32Array(columns).fill(1).buffer);
  const inputs = [{ name: "x", datatype: "FP32", shape: [1, columns], data }] as const;
  const request = {
    modelName: "identity",
    modelVersion: "",
    id: "",
    parameters: NO_PARAMETERS,
    inputs,
    requestedOutputs: [],
  };
  const instances = await Promise.all(ISOLATIONS.map((isolation) => start(directory, columns, isolation)));
  const measured = instances.map((): RoundTrip[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, instance] of instances.entries()) measured[i]?.push(await measure(instance, request));
  }
  const cells = measured.flatMap((trips) => [
    digits(median(trips.map(({ medianUs }) => medianUs))),
    digits(median(trips.map(({ cpuUs }) => cpuUs))),
  ]);
  table.push([String(sizeKb), ...cells]);
  await Promise.all(instances.map((instance) => instance.close()));
}
await rm(directory, { recursive: true });
process.stdout.write(`${alignColumns(table)}\n`);
