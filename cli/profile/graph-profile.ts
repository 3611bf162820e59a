/** What cuts of a model are chosen from: its graph as the runtime optimises it, with times and sizes at every node. */
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { GraphFile } from "../../model-repo/graph/jobs.ts";
import { runGraphJob } from "../../model-repo/graph/run-job.ts";
import { cutCandidates } from "../../planner/partition/cut-candidates.ts";
import { type CutGraph, toCutGraph } from "../../planner/partition/cut-graph.ts";
import type { CutPosition, GraphProfile } from "../../proto/files/profile-file.ts";
import { readGraph } from "../../proto/onnx/read-graph.ts";
import type { Tensor } from "../../proto/tensor.ts";

export interface GraphOptions {
  readonly modelPath: string;
  readonly weightBytes: number;
  /** One run of `batchSize` rows. */
  readonly feed: readonly Tensor[];
  readonly batchSize: number;
  /** Threads of a run by the class that it stands for. */
  readonly threadsByClass: ReadonlyMap<string, number>;
  /** Ends the work. */
  readonly signal: AbortSignal;
  /** Hears why a model cannot be cut anywhere. */
  readonly note?: (text: string) => void;
}

/** Layouts of this very processor (`all`) would not be the other machines'. */
const OPTIMISATION = "extended";
/** A file of protobuf holds 2 GiB. */
const MOST_WEIGHTS_INSIDE = 2 ** 30;
const WARM_UP_RUNS = 3;
const RUNS = 15;

/** Rejects where the runtime refuses the model, and with CANCELLED where the signal ends it. */
export async function profileGraph(options: GraphOptions): Promise<GraphProfile> {
  const directory = await mkdtemp(join(tmpdir(), "hybridserve-graph-"));
  try {
    return await profileIn(directory, options);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function profileIn(directory: string, options: GraphOptions): Promise<GraphProfile> {
  const { modelPath, weightBytes, feed, batchSize, signal } = options;
  const outputPath = join(directory, "model.onnx");
  const isLarge = weightBytes > MOST_WEIGHTS_INSIDE;
  const apart = isLarge ? { weightsFile: "weights.bin" } : {};
  await runGraphJob({ kind: "optimise", modelPath, outputPath, level: OPTIMISATION, ...apart }, { signal });
  const file: GraphFile = { modelPath: outputPath, externalDataDirectory: isLarge ? directory : dirname(modelPath) };
  const bytes = await readFile(outputPath);
  const cut = toCutGraph(readGraph(bytes, modelPath));
  const nodeMs: Record<string, readonly number[]> = {};
  const byThreads = new Map<number, readonly number[]>();
  for (const [name, threads] of options.threadsByClass) {
    const known = byThreads.get(threads);
    const times = known ?? (await nodeTimes(file, cut, feed, threads, signal));
    byThreads.set(threads, times);
    nodeMs[name] = times;
  }
  return {
    optimisation: OPTIMISATION,
    graphHash: `sha256:${createHash("sha256").update(bytes).digest("hex")}`,
    batchSize,
    nodeMs,
    nodeWeightBytes: weightsOf(cut),
    cuts: await cutPositions(file, cut, options),
  };
}

/** Of the nodes that cuts lie between; the runtime runs nothing for a node that it has folded away. */
async function nodeTimes(
  file: GraphFile,
  cut: CutGraph,
  feed: readonly Tensor[],
  threads: number,
  signal: AbortSignal,
): Promise<number[]> {
  const job = { kind: "profile", ...file, feed, warmUpRuns: WARM_UP_RUNS, runs: RUNS, threads } as const;
  const { nodeMs } = await runGraphJob(job, { signal });
  return cut.nodes.map(({ index }) => nodeMs[index] ?? 0);
}

/** What a stage with this node alone would hold. */
function weightsOf({ nodes, constants }: CutGraph): number[] {
  return nodes.map((node) => node.constants.reduce((sum, i) => sum + (constants[i]?.bytes ?? 0), node.ownBytes));
}

/** Narrow cuts whose tensors a session can hand out, with the bytes that cross them in the run. */
async function cutPositions(
  file: GraphFile,
  cut: CutGraph,
  { feed, signal, note }: GraphOptions,
): Promise<CutPosition[]> {
  const possible = cutCandidates(cut);
  const names = new Set(possible.candidates.flatMap(({ tensors }) => tensors));
  if (possible.uncuttable !== undefined) note?.(`it cannot be cut: ${possible.uncuttable}`);
  if (names.size === 0) return [];
  const { bytes, unpassable } = await runGraphJob({ kind: "types", ...file, names: [...names], feed }, { signal });
  const { candidates, uncuttable } = cutCandidates(cut, { tensorBytes: bytes, unpassable });
  if (uncuttable !== undefined) note?.(`it cannot be cut: ${uncuttable}`);
  return candidates.flatMap((candidate) =>
    candidate.bytes === undefined
      ? []
      : [{ position: candidate.position, bytes: candidate.bytes, tensors: candidate.tensors.length }],
  );
}
