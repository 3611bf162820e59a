/**
 * Writes the stage files of a model that a plan cuts: the graph is optimised, cut and compared with the whole model, all
 * by the runtime that will serve it, so that what the plan says of its numerics was measured.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { GraphFile, OptimizationLevel, OutputDifference } from "../../model-repo/graph/jobs.ts";
import { runGraphJob } from "../../model-repo/graph/run-job.ts";
import { toCutGraph } from "../../planner/partition/cut-graph.ts";
import { type Stage, stageGraphs } from "../../planner/partition/stage-graph.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { FileReference, PlannedStage, StageTensor } from "../../proto/files/plan-file.ts";
import type { OnnxGraph } from "../../proto/onnx/graph.ts";
import type { OnnxValue } from "../../proto/onnx/model.ts";
import { readGraph } from "../../proto/onnx/read-graph.ts";
import { readModel } from "../../proto/onnx/read-model.ts";
import type { FileChunks } from "../../proto/onnx/write-graph.ts";
import type { Tensor } from "../../proto/tensor.ts";

export interface WriteStagesOptions {
  readonly modelPath: string;
  /** Level of the graph that the cuts are positions in. */
  readonly optimisation: "basic" | "extended";
  /** Hash of that graph's file as the profile has it; checked. "" where it is not known. */
  readonly graphHash: string;
  /** Ascending positions between dynamic nodes. */
  readonly cuts: readonly number[];
  /** The golden input: one run of the model. */
  readonly feed: readonly Tensor[];
  /** Where stage files go; made where it is missing. */
  readonly directory: string;
  /** Ids of the stages, which their files are named by; one more than there are cuts. */
  readonly stageIds: readonly string[];
  /** How sessions of stages optimise further, and the whole model that they are compared with. */
  readonly stageLevel: OptimizationLevel;
  /** Name of a file in `directory` that all stages' weights go to; without it they are inside the stage files. */
  readonly weightsFile?: string;
  readonly signal?: AbortSignal;
}

export interface WrittenStages {
  readonly stages: readonly WrittenStage[];
  /** Relative to `directory`; null: inside the stage files, or where the model's own external data are. */
  readonly weights: FileReference | null;
  /** Directory that the stage files' references lie in, for their sessions; null where they have none. */
  readonly externalDataDirectory: string | null;
  /** What the whole model answers to the golden input. */
  readonly expected: readonly Tensor[];
  /** The stages against it, output by output. */
  readonly differences: readonly OutputDifference[];
}

/** Paths are relative to `directory`. */
export type WrittenStage = Pick<PlannedStage, "id" | "file" | "cut" | "inputs" | "outputs" | "weightBytes">;

/**
 * FAILED_PRECONDITION where the optimised graph is not the profiled one or a cut crosses what a session cannot hand out;
 * else the runtime's own errors. The graph file itself is not kept.
 */
export async function writeStages(options: WriteStagesOptions): Promise<WrittenStages> {
  const { directory, weightsFile } = options;
  await mkdir(directory, { recursive: true });
  // The runtime puts the weights beside the graph, and stages look for them there.
  const scratch = await mkdtemp(join(weightsFile === undefined ? tmpdir() : directory, "graph-"));
  try {
    const modelPath = join(scratch, "model.onnx");
    const { optimisation: level } = options;
    const apart = weightsFile === undefined ? {} : { weightsFile };
    await runGraphJob(
      { kind: "optimise", modelPath: options.modelPath, outputPath: modelPath, level, ...apart },
      signalOf(options),
    );
    // It writes no such file where all weights are small.
    if (weightsFile === undefined || !(await readdir(scratch)).includes(weightsFile)) {
      return { ...(await writeFrom(modelPath, dirname(options.modelPath), options)), weights: null };
    }
    const kept = join(directory, weightsFile);
    await rename(join(scratch, weightsFile), kept);
    const weights = { path: weightsFile, hash: await hashOfFile(kept) };
    return { ...(await writeFrom(modelPath, directory, options)), weights };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function writeFrom(
  graphPath: string,
  dataDirectory: string,
  options: WriteStagesOptions,
): Promise<Omit<WrittenStages, "weights">> {
  const { modelPath, directory, feed, stageLevel, stageIds } = options;
  const bytes = await readFile(graphPath);
  checkHash(bytes, options);
  const graph = readGraph(bytes, modelPath);
  const stages = await cutGraph(graph, { modelPath: graphPath, externalDataDirectory: dataDirectory }, options);
  const written: WrittenStage[] = [];
  for (const stage of stages) {
    const id = stageIds[written.length] ?? "";
    const path = `${id}.onnx`;
    const hash = await writeChunks(join(directory, path), stage.chunks);
    written.push({ id, file: { path, hash }, ...(await describe(stage, id, join(directory, path), stageIds)) });
  }
  const job = {
    kind: "compare",
    // At `disabled` stages are what the optimiser made of the whole model at the level of the graph.
    whole: { modelPath, level: stageLevel === "disabled" ? options.optimisation : stageLevel },
    stages: written.map(({ id }) => ({
      modelPath: join(directory, `${id}.onnx`),
      externalDataDirectory: dataDirectory,
    })),
    stageLevel,
    feed,
  } as const;
  const { expected, outputs } = await runGraphJob(job, signalOf(options));
  return {
    stages: written,
    externalDataDirectory: graph.hasExternalData ? dataDirectory : null,
    expected,
    differences: outputs,
  };
}

function checkHash(bytes: Uint8Array, { graphHash, modelPath }: WriteStagesOptions): void {
  const found = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  if (graphHash === "" || graphHash === found) return;
  throw new InferenceError(
    "FAILED_PRECONDITION",
    `'${modelPath}' is optimised to another graph (${found}) than the profile's (${graphHash}); run 'hybridserve profile' again`,
  );
}

async function cutGraph(graph: OnnxGraph, file: GraphFile, options: WriteStagesOptions): Promise<Stage[]> {
  const { cuts, feed, modelPath } = options;
  const cut = toCutGraph(graph);
  const wrong = cuts.find((position, i) => position <= (cuts[i - 1] ?? 0) || position >= cut.nodes.length);
  if (wrong !== undefined) {
    const text = `'${modelPath}' has no cut at ${wrong}: cuts ascend between 1 and ${cut.nodes.length - 1}`;
    throw new InferenceError("FAILED_PRECONDITION", text);
  }
  const crossing = cut.tensors.filter(({ producer, lastUse }) =>
    cuts.some((position) => producer < position && lastUse >= position),
  );
  const names = crossing.map((tensor) => tensor.name);
  const { types, unpassable } = await runGraphJob({ kind: "types", ...file, names, feed }, signalOf(options));
  const [refused] = unpassable;
  if (refused !== undefined) {
    const text = `'${modelPath}' cannot be cut at ${cuts.join(", ")}: '${refused}' crosses, which a session cannot hand out`;
    throw new InferenceError("FAILED_PRECONDITION", text);
  }
  return stageGraphs(graph, cut, cuts, types);
}

/** A stage as the plan tells it; types of the model's own inputs and outputs come from the file. */
async function describe(
  { fromNode, toNode, inputs, outputs, weightBytes }: Stage,
  id: string,
  path: string,
  stageIds: readonly string[],
): Promise<Omit<WrittenStage, "id" | "file">> {
  const signature = await readModel(path);
  const typed = (values: readonly OnnxValue[], name: string): Omit<StageTensor, "from"> => {
    const value = values.find((each) => each.name === name);
    if (value?.datatype === undefined || value.shape === undefined) {
      throw new InferenceError(
        "FAILED_PRECONDITION",
        `'${path}': '${name}' has no datatype or no rank; the export must say it`,
      );
    }
    return { name, datatype: value.datatype, shape: value.shape };
  };
  return {
    cut: { fromNode, toNode },
    inputs: inputs.map(({ name, from }) => ({
      ...typed(signature.inputs, name),
      from: from === "request" ? "" : (stageIds[from] ?? ""),
    })),
    outputs: outputs.map(({ name }) => ({ ...typed(signature.outputs, name), from: id })),
    weightBytes,
  };
}

function signalOf({ signal }: WriteStagesOptions): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** Writes a file chunk by chunk; returns its hash. */
async function writeChunks(path: string, chunks: FileChunks): Promise<string> {
  const hash = createHash("sha256");
  const file = await open(path, "w");
  try {
    for (const chunk of chunks) {
      await file.writeFile(chunk);
      hash.update(chunk);
    }
  } finally {
    await file.close();
  }
  return `sha256:${hash.digest("hex")}`;
}

async function hashOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return `sha256:${hash.digest("hex")}`;
}
