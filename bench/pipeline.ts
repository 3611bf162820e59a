/**
 * `npm run bench:pipeline [-- --quick]`: a BERT-shaped model in two balanced stages, each in a process on a core of its own, against
 * the whole model on one core and on two with two threads. All through the server's own instances, queue and pipeline,
 * single rows, a fixed number in flight, interleaved round by round. Prints markdown.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { writeStages } from "../cli/plan/write-stages.ts";
import { profileGraph } from "../cli/profile/graph-profile.ts";
import { BERT_SIZES, SEQUENCE } from "../examples/planner/bert.ts";
import { makeRows, writeFamily } from "../examples/planner/family.ts";
import {
  type MeasuredModel,
  type OpenedModel,
  openFileOnDevices,
  openOnDevices,
  readMeasuredModel,
  sessionSettings,
  weightBytes,
} from "../model-repo/profile/open-model.ts";
import { imbalance, partition } from "../planner/partition/partition.ts";
import type { Device, DeviceClass } from "../proto/files/devices-file.ts";
import type { PlannedStage } from "../proto/files/plan-file.ts";
import { type InferenceRequest, NO_PARAMETERS } from "../proto/inference.ts";
import type { Tensor } from "../proto/tensor.ts";
import { BatchedModel } from "../scheduler/batched-model.ts";
import { SystemClock } from "../scheduler/clock.ts";
import type { ModelInstance } from "../scheduler/instance.ts";
import { StagePipeline } from "../scheduler/pipeline/stage-pipeline.ts";
import { describeEnvironment } from "./environment.ts";
import { cpuSeconds, machineUsage, processTree } from "./process-usage.ts";
import { disturbance } from "./report.ts";
import { median } from "./statistics.ts";

const AIM = 1.5;
const IN_FLIGHT = 8;
const ROWS = 64;
const WARMUP_REQUESTS = 16;
/** A round starts when other programs leave both cores alone, or after so long. */
const QUIET_CORES = 0.1;
const QUIET_CHECK_MS = 300;
const MOST_QUIET_CHECKS = 40;
/** Cost of a hand-over, as the planner charges it (planner.md 1.3). */
const BOUNDARY = { linkBytesPerMs: 1e6, boundaryMs: 0.1 };

const CLASS: DeviceClass = { name: "core", kind: "cpu", memoryBytes: 2 ** 32, watts: null };
/** The last cores: interrupts and other programs are often on the first. */
const CORES = [availableParallelism() - 2, availableParallelism() - 1].map(String);

/** One way to run the model. */
interface Subject {
  readonly name: string;
  readonly model: BatchedModel;
  readonly requestsPerSecond: number[];
}

interface Timing {
  readonly rounds: number;
  readonly windowMs: number;
}

interface Stages {
  /** Largest over mean of the stages' times, by the profile. */
  readonly imbalance: number;
  readonly largestDifference: number;
  readonly pipeline: StagePipeline;
}

const folder = mkdtempSync(join(tmpdir(), "hybridserve-bench-"));
const clock = new SystemClock();
const log = { info: () => undefined, warn: report, error: report };

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  const timing: Timing = values.quick ? { rounds: 3, windowMs: 1000 } : { rounds: 9, windowMs: 1500 };
  if (availableParallelism() < 2) throw new Error("two stages need two cores, this machine has one");
  const { machine, versions } = describeEnvironment([]);
  console.log(`${machine.cpu}, ${machine.cores} cores, node ${versions["node"]}, ${timing.rounds} rounds, medians\n`);
  const shape = { name: "bert-medium", ...BERT_SIZES.medium, skill: 100 };
  await writeFamily(folder, { shapes: [shape], devices: 2, memoryMib: 0 });
  const model = await readMeasuredModel([folder], shape.name);
  const stages = await openStages(model);
  const oneCore = await openOnDevices(model, [device(CORES[1] ?? "")], CLASS, { clock, log });
  const twoThreads = await openOnDevices(model, [device(CORES.join(","))], CLASS, { clock, log });
  const subjects = [
    subject("whole, one core", model, oneCore.instances),
    subject("whole, two threads on two cores", model, twoThreads.instances),
    subject("two stages, a core each", model, stages.pipeline.heads),
  ];
  try {
    const otherCores = await measure(subjects, timing);
    print(shape.name, subjects, stages);
    console.log(disturbance(otherCores));
  } finally {
    await Promise.all(subjects.map((each) => each.model.close()));
  }
}

/** Cut where the profile says that both halves take the same time. */
async function openStages(model: MeasuredModel): Promise<Stages> {
  const { signature, modelPath } = model;
  const [request] = requests(model);
  const feed = request?.inputs ?? [];
  const profile = await profileGraph({
    modelPath,
    weightBytes: await weightBytes(model),
    feed,
    batchSize: 1,
    threadsByClass: new Map([[CLASS.name, 1]]),
    signal: new AbortController().signal,
  });
  const nodeMs = profile.nodeMs[CLASS.name] ?? [];
  const { nodeWeightBytes, cuts: candidates } = profile;
  const found = partition({
    ...{ nodeMs, weightBytes: nodeWeightBytes, candidates, stages: 2 },
    ...{ ...BOUNDARY, memoryLimitBytes: Number.POSITIVE_INFINITY },
  });
  if (!found.feasible) throw new Error(`${signature.name} cannot be cut: ${found.reason}`);
  const directory = join(folder, "stages");
  const written = await writeStages({
    ...{
      modelPath,
      optimisation: profile.optimisation,
      graphHash: profile.graphHash,
      cuts: found.cuts,
      feed,
      directory,
    },
    stageIds: ["stage0", "stage1"],
    stageLevel: "all",
  });
  const opened = await Promise.all(
    written.stages.map((stage, i) => openStage(model, stage, directory, CORES[i] ?? "")),
  );
  const names = (tensors: PlannedStage["inputs"]) => tensors.map(({ name }) => name);
  const pipeline = new StagePipeline(
    signature,
    written.stages.map(({ id, inputs, outputs }, i) => {
      const { instances } = opened[i] ?? { instances: [] };
      return { id, instances, inputs: names(inputs), outputs: names(outputs) };
    }),
    clock,
  );
  const borders = [0, ...found.cuts, nodeMs.length];
  const stageMs = written.stages.map((_, s) => sum(nodeMs.slice(borders[s], borders[s + 1])));
  const largestDifference = Math.max(...written.differences.map(({ maxAbs }) => maxAbs));
  return { imbalance: imbalance(stageMs), largestDifference, pipeline };
}

function openStage(
  { config, signature }: MeasuredModel,
  { id, file, inputs, outputs }: Pick<PlannedStage, "id" | "file" | "inputs" | "outputs">,
  directory: string,
  core: string,
): Promise<OpenedModel> {
  const bound = (tensors: PlannedStage["inputs"]) =>
    tensors.map(({ name, datatype, shape }) => ({ name, datatype, dims: shape, reshape: undefined }));
  const opened = {
    label: id,
    model: signature.name,
    modelPath: join(directory, file?.path ?? ""),
    settings: { ...sessionSettings(config), graphOptimizationLevel: "all" },
    batches: false,
    inputs: bound(inputs),
    outputs: bound(outputs),
  } as const;
  return openFileOnDevices(opened, [device(core)], CLASS, { clock, log });
}

function subject(name: string, { signature }: MeasuredModel, instances: readonly ModelInstance[]): Subject {
  const queuePolicy = { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false };
  return {
    name,
    model: new BatchedModel({ signature, instances, batching: null, queuePolicy, clock }),
    requestsPerSecond: [],
  };
}

/** Every subject once a round, every other round in reverse; what other programs took, in cores, window by window. */
async function measure(subjects: readonly Subject[], { rounds, windowMs }: Timing): Promise<number[]> {
  const otherCores: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await untilQuiet();
    for (const each of round % 2 === 0 ? subjects : subjects.toReversed()) {
      process.stderr.write(`round ${round + 1}/${rounds} ${each.name}\n`);
      const others = await othersDuring(async () => {
        each.requestsPerSecond.push(await load(each.model, windowMs));
      });
      otherCores.push(others);
    }
  }
  return otherCores;
}

async function untilQuiet(): Promise<void> {
  for (let check = 0; check < MOST_QUIET_CHECKS; check++) {
    if ((await othersDuring(() => sleep(QUIET_CHECK_MS))) <= QUIET_CORES) return;
  }
}

/** Cores that other programs keep busy meanwhile; 0 where the system does not tell. */
async function othersDuring(work: () => Promise<void>): Promise<number> {
  const seconds = () => (machineUsage()?.busySeconds ?? 0) - (cpuSeconds(processTree(process.pid)) ?? 0);
  const [before, startMs] = [seconds(), performance.now()];
  await work();
  return (1000 * (seconds() - before)) / (performance.now() - startMs);
}

/** Requests a second of a closed loop that runs warm first. */
async function load(model: BatchedModel, windowMs: number): Promise<number> {
  const all = requests(model);
  let next = 0;
  const runUntil = (isOver: (done: number) => boolean): Promise<number> => {
    let done = 0;
    const one = async (): Promise<void> => {
      while (!isOver(done)) {
        const request = all[next++ % all.length];
        if (request === undefined) return;
        await model.infer(request);
        done++;
      }
    };
    return Promise.all(Array.from({ length: IN_FLIGHT }, one)).then(() => done);
  };
  await runUntil((done) => done >= WARMUP_REQUESTS);
  const startMs = performance.now();
  const done = await runUntil(() => performance.now() - startMs >= windowMs);
  return (1000 * done) / (performance.now() - startMs);
}

function requests({ signature }: { readonly signature: MeasuredModel["signature"] }): InferenceRequest[] {
  const { tokens } = makeRows(ROWS, 1);
  return Array.from({ length: ROWS }, (_, row) => {
    const data = new Uint8Array(tokens.slice(row * SEQUENCE, (row + 1) * SEQUENCE).buffer);
    const input: Tensor = { name: "tokens", datatype: "INT64", shape: [1, SEQUENCE], data };
    return {
      modelName: signature.name,
      modelVersion: "",
      id: "",
      parameters: NO_PARAMETERS,
      inputs: [input],
      requestedOutputs: [],
    };
  });
}

function print(
  model: string,
  subjects: readonly Subject[],
  { imbalance: unbalanced, largestDifference }: Stages,
): void {
  console.log(`${model}, rows of ${SEQUENCE} tokens, ${IN_FLIGHT} in flight\n`);
  console.log("| run as | requests/s | against one core |\n|---|---|---|");
  const [oneCore] = subjects;
  // Ratios of the same round: what disturbs one subject for seconds disturbs the others too.
  const ratioOf = ({ requestsPerSecond }: Subject) =>
    median(requestsPerSecond.map((rate, round) => rate / (oneCore?.requestsPerSecond[round] ?? Number.NaN)));
  for (const each of subjects) {
    console.log(`| ${each.name} | ${median(each.requestsPerSecond).toFixed(1)} | ${ratioOf(each).toFixed(2)}x |`);
  }
  const staged = subjects.at(-1);
  const ratio = staged === undefined ? Number.NaN : ratioOf(staged);
  console.log(
    `\nStages: largest over mean ${unbalanced.toFixed(2)} by the profile; answers differ from the whole model's by ${largestDifference}. ` +
      `Aim ${AIM}x: ${ratio >= AIM ? "reached" : "missed"} (${ratio.toFixed(2)}x).`,
  );
}

function device(cpus: string): Device {
  return { id: `core-${cpus}`, class: CLASS.name, node: "local", failureGroup: "local", cpus, ordinal: -1 };
}

function report(_fields: object, text: string): void {
  console.error(text);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
