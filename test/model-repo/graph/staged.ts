/** From a model and a number of stages to stage files on disk, the way the planner goes. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import type { CompareResult, TypesResult } from "../../../model-repo/graph/jobs.ts";
import { runGraphJob } from "../../../model-repo/graph/run-job.ts";
import { type CutCandidates, cutCandidates } from "../../../planner/partition/cut-candidates.ts";
import { type CutGraph, nodeWeights, toCutGraph } from "../../../planner/partition/cut-graph.ts";
import { partition } from "../../../planner/partition/partition.ts";
import { type Stage, stageGraphs } from "../../../planner/partition/stage-graph.ts";
import type { OnnxGraph } from "../../../proto/onnx/graph.ts";
import { readGraph } from "../../../proto/onnx/read-graph.ts";
import { joinChunks } from "../../../proto/onnx/write-graph.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

export interface CutModel {
  /** The file that was cut. */
  readonly modelPath: string;
  /** The model as it came, and the level it was optimised at. */
  readonly original: { readonly modelPath: string; readonly level: "disabled" | "basic" | "extended" };
  readonly graph: OnnxGraph;
  readonly cut: CutGraph;
  readonly candidates: CutCandidates;
  readonly types: TypesResult;
  readonly feed: readonly Tensor[];
  /** Directory of external data. */
  readonly dataDirectory: string;
}

export interface CutOptions {
  /** Cuts what the runtime's optimiser leaves at this level; without it the model as it is. */
  readonly optimise?: "basic" | "extended";
  readonly weightsFile?: string;
  readonly maxLiveTensors?: number;
  /** Puts files beside the model. */
  readonly prepare?: (folder: string) => Promise<void>;
}

/** Reads, optimises and types a model. */
export async function cutModel(
  context: Pick<TestContext, "after">,
  model: Uint8Array,
  feed: readonly Tensor[],
  options: CutOptions = {},
): Promise<CutModel> {
  const folder = await temporaryFiles(context, { "model.onnx": model });
  await options.prepare?.(folder);
  let modelPath = join(folder, "model.onnx");
  let dataDirectory = folder;
  if (options.optimise !== undefined) {
    const outputPath = join(folder, "optimised", "model.onnx");
    await mkdir(dirname(outputPath));
    const { optimise: level, weightsFile } = options;
    const weights = weightsFile === undefined ? {} : { weightsFile };
    await runGraphJob({ kind: "optimise", modelPath, outputPath, level, ...weights });
    modelPath = outputPath;
    if (weightsFile !== undefined) dataDirectory = dirname(outputPath);
  }
  const graph = readGraph(await readFile(modelPath), modelPath);
  const cut = toCutGraph(graph);
  const limits = options.maxLiveTensors === undefined ? {} : { maxLiveTensors: options.maxLiveTensors };
  const narrow = cutCandidates(cut, limits);
  const names = [...new Set(narrow.candidates.flatMap((candidate) => candidate.tensors))];
  const types = await runGraphJob({
    kind: "types",
    modelPath,
    externalDataDirectory: dataDirectory,
    names,
    feed,
  });
  const candidates = cutCandidates(cut, { ...limits, tensorBytes: types.bytes, unpassable: types.unpassable });
  const original = { modelPath: join(folder, "model.onnx"), level: options.optimise ?? "disabled" } as const;
  return { modelPath, original, graph, cut, candidates, types, feed, dataDirectory };
}

/** Cuts into even stages by node count. */
export function evenCuts({ cut, candidates }: CutModel, stages: number): readonly number[] {
  const found = partition({
    ...nodeWeights(cut),
    nodeMs: cut.nodes.map(() => 1),
    candidates: candidates.candidates,
    linkBytesPerMs: Number.POSITIVE_INFINITY,
    stages,
    memoryLimitBytes: Number.POSITIVE_INFINITY,
  });
  if (!found.feasible) throw new Error(found.reason);
  return found.cuts;
}

/** Writes the stages and runs them at `disabled` against the original at the level it was optimised at. */
export async function compareStaged(
  model: CutModel,
  cuts: readonly number[],
): Promise<{ readonly stages: readonly Stage[]; readonly stagePaths: readonly string[] } & CompareResult> {
  const { graph, cut, types, modelPath, dataDirectory, feed } = model;
  const stages = stageGraphs(graph, cut, cuts, types.types);
  const folder = join(dirname(modelPath), `stages-${cuts.join("-")}`);
  await mkdir(folder, { recursive: true });
  const stagePaths = stages.map((_, s) => join(folder, `${s}.onnx`));
  for (const [s, stage] of stages.entries()) await writeFile(join(folder, `${s}.onnx`), joinChunks(stage.chunks));
  const result = await runGraphJob({
    kind: "compare",
    whole: model.original,
    stages: stagePaths.map((path) => ({ modelPath: path, externalDataDirectory: dataDirectory })),
    stageLevel: "disabled",
    feed,
  });
  return { stages, stagePaths, ...result };
}
