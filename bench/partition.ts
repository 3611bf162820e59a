/**
 * `node bench/partition.ts`: how even stages are when a model is cut by the runtime's profile, by parameter count (the
 * prototype's rule) and by number of nodes, and what cutting costs. Stages are written as a plan writes them, compared
 * with the whole model and run one after another on one thread; CPU time, medians of interleaved rounds. Prints markdown.
 */
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor as OnnxTensor } from "onnxruntime-node";
import { writeStages } from "../cli/plan/write-stages.ts";
import { profileGraph } from "../cli/profile/graph-profile.ts";
import { BERT_SIZES, bertModel, SEQUENCE } from "../examples/planner/bert.ts";
import { partitionByParameterCount } from "../planner/partition/parameter-count.ts";
import { imbalance, partition } from "../planner/partition/partition.ts";
import type { GraphProfile } from "../proto/files/profile-file.ts";
import type { Tensor } from "../proto/tensor.ts";
import { DEMO_FOLDER } from "./repository.ts";
import { median } from "./statistics.ts";

const ROUNDS = 15;
const STAGES = [2, 4];
const OPTIMISATION = "extended";
/** What a boundary takes whatever its size, and memory's speed: both of this machine, rough. */
const BOUNDARY_MS = 0.1;
const LINK_BYTES_PER_MS = 1e6;

interface Task {
  readonly name: string;
  readonly modelPath: string;
  readonly feed: Tensor;
  /** Stages of transformers run as they are; those of convolutions need the processor's own layouts to be fast. */
  readonly stageLevel: "disabled" | "all";
}

const folder = await mkdtemp(join(tmpdir(), "hybridserve-bench-"));
try {
  console.log(
    "| model | stages | cut by | predicted largest / mean | measured | stages, CPU ms | sum / whole | difference |",
  );
  console.log("|---|---|---|---|---|---|---|---|");
  for (const task of await tasks()) await measure(task);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function tasks(): Promise<Task[]> {
  const berts = (["mini", "medium"] as const).map(async (size): Promise<Task> => {
    const shape = { name: `bert-${size}`, ...BERT_SIZES[size], skill: 100 };
    const modelPath = join(folder, `${shape.name}.onnx`);
    await writeFile(modelPath, bertModel(shape, 1));
    const tokens = BigInt64Array.from({ length: 4 * SEQUENCE }, (_, i) => BigInt((i * 7919) % 30_000));
    const data = new Uint8Array(tokens.buffer);
    const feed: Tensor = { name: "tokens", datatype: "INT64", shape: [4, SEQUENCE], data };
    return { name: `${shape.name}, 4 rows`, modelPath, feed, stageLevel: "disabled" };
  });
  const pixels = Float32Array.from({ length: 32 * 784 }, (_, i) => Math.abs(Math.sin(i)));
  const images: Task = {
    name: "fashion-l, 32 rows",
    modelPath: join(DEMO_FOLDER, "models", "fashion-l", "1", "model.onnx"),
    feed: { name: "image", datatype: "FP32", shape: [32, 1, 28, 28], data: new Uint8Array(pixels.buffer) },
    stageLevel: "all",
  };
  return [...(await Promise.all(berts)), images];
}

async function measure(task: Task): Promise<void> {
  const { size } = await stat(task.modelPath);
  const profile = await profileGraph({
    modelPath: task.modelPath,
    weightBytes: size,
    feed: [task.feed],
    batchSize: task.feed.shape[0] ?? 1,
    threadsByClass: new Map([["cpu", 1]]),
    signal: new AbortController().signal,
  });
  for (const stages of STAGES) {
    for (const [rule, cuts] of rules(profile, stages)) {
      const start = `| ${task.name} | ${stages} | ${rule} |`;
      if (cuts === undefined) console.log(`${start} a stage would be empty | | | | |`);
      else console.log(`${start} ${(await measureCuts(task, profile, cuts)).join(" | ")} |`);
    }
  }
}

/** Cuts of each rule, at the same candidate positions; undefined where the rule has no answer. */
function rules(profile: GraphProfile, stages: number): [string, readonly number[] | undefined][] {
  const nodeMs = nodeTimes(profile);
  const { nodeWeightBytes: weightBytes, cuts: candidates } = profile;
  const link = { linkBytesPerMs: LINK_BYTES_PER_MS, boundaryMs: BOUNDARY_MS };
  const problem = { weightBytes, candidates, ...link, stages, memoryLimitBytes: Number.POSITIVE_INFINITY };
  const byTime = partition({ ...problem, nodeMs });
  const byNodes = partition({
    ...problem,
    nodeMs: nodeMs.map(() => 1),
    boundaryMs: 0,
    linkBytesPerMs: Number.POSITIVE_INFINITY,
  });
  const positions = candidates.map((candidate) => candidate.position);
  const byParameters = partitionByParameterCount(weightBytes, positions, stages);
  return [
    ["profile", byTime.feasible ? byTime.cuts : undefined],
    ["parameters", byParameters.feasible ? byParameters.cuts : undefined],
    ["nodes", byNodes.feasible ? byNodes.cuts : undefined],
  ];
}

async function measureCuts(task: Task, profile: GraphProfile, cuts: readonly number[]): Promise<string[]> {
  const directory = join(folder, "stages");
  const stageIds = [0, ...cuts].map((_, s) => `stage${s}`);
  const written = await writeStages({
    modelPath: task.modelPath,
    optimisation: OPTIMISATION,
    graphHash: profile.graphHash,
    cuts,
    feed: [task.feed],
    directory,
    stageIds,
    stageLevel: task.stageLevel,
  });
  const whole = await open(task.modelPath, "all");
  const stages = await Promise.all(stageIds.map((id) => open(join(directory, `${id}.onnx`), task.stageLevel)));
  const wholeMs: number[] = [];
  const stageMs = stages.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    const known = new Map([[task.feed.name, toOnnx(task.feed)]]);
    wholeMs.push(await cpuMs(() => whole.run(feedsOf(whole, known))));
    for (const [s, stage] of stages.entries()) {
      const run = async () => {
        for (const [name, value] of Object.entries(await stage.run(feedsOf(stage, known)))) known.set(name, value);
      };
      stageMs[s]?.push(await cpuMs(run));
    }
  }
  for (const session of [whole, ...stages]) await session.release();
  const nodeMs = nodeTimes(profile);
  const borders = [0, ...cuts, nodeMs.length];
  const predicted = stageIds.map((_, s) => sum(nodeMs.slice(borders[s], borders[s + 1])));
  const measured = stageMs.map(median);
  const differences = written.differences.map((output) => output.maxAbs);
  return [
    imbalance(predicted).toFixed(2),
    imbalance(measured).toFixed(2),
    measured.map((ms) => ms.toFixed(1)).join(" "),
    (sum(measured) / median(wholeMs)).toFixed(2),
    written.differences.every((output) => output.isBitIdentical) ? "none" : Math.max(...differences).toExponential(1),
  ];
}

function nodeTimes(profile: GraphProfile): readonly number[] {
  return profile.nodeMs["cpu"] ?? [];
}

function open(path: string, graphOptimizationLevel: "disabled" | "all"): Promise<InferenceSession> {
  const threads = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  return InferenceSession.create(path, {
    executionProviders: ["cpu"],
    ...threads,
    graphOptimizationLevel,
    logSeverityLevel: 3,
  });
}

function toOnnx({ datatype, data, shape }: Tensor): OnnxTensor {
  const { buffer } = data as Uint8Array<ArrayBuffer>;
  if (datatype === "INT64") return new OnnxTensor("int64", new BigInt64Array(buffer), shape);
  return new OnnxTensor("float32", new Float32Array(buffer), shape);
}

function feedsOf(session: InferenceSession, known: ReadonlyMap<string, OnnxTensor>): Record<string, OnnxTensor> {
  return Object.fromEntries([...known].filter(([name]) => session.inputNames.includes(name)));
}

async function cpuMs(run: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
