/** An ONNX model where a plan puts it: each copy in a process of its own on its device, stages as a pipeline. */
import { readFile } from "node:fs/promises";
import { InferenceError } from "../../proto/errors.ts";
import { readNpz } from "../../proto/files/npz.ts";
import { NO_PARAMETERS } from "../../proto/inference.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { ModelInstance } from "../../scheduler/instance.ts";
import type { Model } from "../../scheduler/model.ts";
import { type PipelineStage, StagePipeline } from "../../scheduler/pipeline/stage-pipeline.ts";
import { toSignature } from "../config/signature.ts";
import { outputDifference } from "../graph/output-difference.ts";
import type { ModelPlacement, PlacedCopy, PlacedGolden, PlacedStage, PlacedTensor } from "../plan/placement.ts";
import type { LoadContext } from "./backend.ts";
import type { BoundTensor } from "./batch-memory.ts";
import { batchedModel } from "./batched-model.ts";
import { levelHash } from "./certificate-hash.ts";
import type { SessionSettings } from "./instance-protocol.ts";
import { OnnxInstance, type OnnxInstanceOptions, type ProcessPlacement } from "./onnx-instance.ts";
import { sessionSettings } from "./onnx-settings.ts";

/** The model's own tensors, as every instance of the whole model takes them. */
export interface ModelTensors {
  readonly batches: boolean;
  readonly inputs: readonly BoundTensor[];
  readonly outputs: readonly BoundTensor[];
}

/** Rejects where a copy cannot start on its device, or the stages answer otherwise than the plan measured. */
export async function placedOnnx(
  context: LoadContext,
  placement: ModelPlacement,
  modelPath: string,
  tensors: ModelTensors,
): Promise<Model> {
  const { config } = context.resolved;
  await checkModelHash(context, placement);
  const { settings, warnings } = sessionSettings(config, context.backendConfig, context.coreCount);
  for (const warning of warnings) context.log.warn({ model: config.name }, warning);
  const copies = placement.stages.flatMap((stage) => stage.copies);
  context.claimThreads(
    copies.filter((copy) => copy.class.kind === "cpu").reduce((sum, copy) => sum + copy.intraOpThreads, 0),
  );
  const isWhole = placement.stages.length === 1 && placement.stages[0]?.file === undefined;
  if (!isWhole && [...tensors.inputs, ...tensors.outputs].some((tensor) => tensor.reshape !== undefined)) {
    throw new InferenceError(
      "UNIMPLEMENTED",
      `model '${config.name}' reshapes its tensors, which stages do not do: leave it out of the plan, or export it without`,
    );
  }
  const stages = placement.stages.map((stage) => stageOptions(context, stage, settings, modelPath, tensors));
  const instances = await startAll(stages.flat());
  if (isWhole) return batchedModel(context, instances);
  const pipeline = new StagePipeline(
    toSignature(config, context.version),
    pipelineStages(placement.stages, instances),
    context.clock,
  );
  try {
    if (placement.golden !== undefined) await checkGolden(config.name, pipeline, placement.golden);
  } catch (error) {
    await Promise.all(instances.map((instance) => instance.close()));
    throw error;
  }
  return batchedModel(context, pipeline.heads);
}

/** The model's files may have changed since the plan was read, as polling finds out: what serves stays. */
async function checkModelHash({ resolved, version, versionDirectory }: LoadContext, { modelHash }: ModelPlacement) {
  if ((await levelHash(versionDirectory)) === modelHash) return;
  const { name } = resolved.config;
  throw new InferenceError(
    "FAILED_PRECONDITION",
    `PLAN_STALE_MODEL: the files of model '${name}' version ${version} are not those that the plan was made for: profile ` +
      `and plan again (hybridserve profile --model ${name}, hybridserve plan), or leave the model out of the plan`,
  );
}

/** All instances, or none: where one cannot start the others are closed again. */
export async function startAll(options: readonly OnnxInstanceOptions[]): Promise<OnnxInstance[]> {
  const starts = await Promise.allSettled(options.map((each) => OnnxInstance.start(each)));
  const instances = starts.filter((start) => start.status === "fulfilled").map((start) => start.value);
  const failed = starts.find((start) => start.status === "rejected");
  if (failed === undefined) return instances;
  await Promise.all(instances.map((instance) => instance.close()));
  throw InferenceError.from(failed.reason);
}

function stageOptions(
  context: LoadContext,
  stage: PlacedStage,
  settings: SessionSettings,
  modelPath: string,
  tensors: ModelTensors,
): OnnxInstanceOptions[] {
  const { clock, log, resolved } = context;
  // A whole model runs as its configuration says, which is how it was profiled.
  const { level: graphOptimizationLevel, ...own } =
    stage.file === undefined
      ? { ...tensors, modelPath, level: settings.graphOptimizationLevel }
      : {
          modelPath: stage.file,
          batches: false,
          inputs: stage.inputs.map(bound),
          outputs: stage.outputs.map(bound),
          level: stage.graphOptimizationLevel,
        };
  return stage.copies.map((copy, i) => ({
    ...own,
    files: [own.modelPath, stage.weights ?? []].flat(),
    name: `${stage.id}_${i}`,
    model: resolved.config.name,
    settings: {
      ...settings,
      graphOptimizationLevel,
      intraOpThreads: copy.intraOpThreads,
      device: copy.class.kind === "cuda" ? `cuda:${copy.device.ordinal}` : "cpu",
    },
    placement: processOn(copy),
    clock,
    log,
  }));
}

/** A device's cores and memory are its processes'; the memory of a CUDA device is not the process's. */
function processOn({ device, class: deviceClass }: PlacedCopy): ProcessPlacement {
  if (deviceClass.kind === "cuda") return { isolation: "process" };
  return {
    isolation: "process",
    cpus: device.cpus === "" ? undefined : device.cpus,
    memoryLimitBytes: deviceClass.memoryBytes,
  };
}

function bound({ name, datatype, shape }: PlacedTensor): BoundTensor {
  return { name, datatype, dims: shape, reshape: undefined };
}

function pipelineStages(stages: readonly PlacedStage[], instances: readonly ModelInstance[]): PipelineStage[] {
  let next = 0;
  return stages.map(({ id, copies, inputs, outputs }) => {
    const own = instances.slice(next, next + copies.length);
    next += copies.length;
    const names = (tensors: readonly PlacedTensor[]) => tensors.map((tensor) => tensor.name);
    return { id, instances: own, inputs: names(inputs), outputs: names(outputs) };
  });
}

const INPUT = "input:";
const OUTPUT = "output:";

/** Runs the plan's golden rows through the stages; throws FAILED_PRECONDITION where they are further off than allowed. */
async function checkGolden(model: string, pipeline: StagePipeline, golden: PlacedGolden): Promise<void> {
  const head = pipeline.heads[0];
  if (head === undefined) return;
  const arrays = readNpz(await readFile(golden.file), golden.file);
  const named = (prefix: string): Tensor[] =>
    [...arrays].flatMap(([key, array]) =>
      key.startsWith(prefix) ? [{ name: key.slice(prefix.length), ...array }] : [],
    );
  const { outputs } = await head.execute([
    {
      modelName: model,
      modelVersion: "",
      id: "golden",
      parameters: NO_PARAMETERS,
      inputs: named(INPUT),
      requestedOutputs: [],
    },
  ]);
  for (const expected of named(OUTPUT)) {
    const found = outputs[0]?.find((output) => output.name === expected.name);
    const { maxAbs } = outputDifference(expected, found);
    if (maxAbs <= golden.maxAbsDifference) continue;
    throw new InferenceError(
      "FAILED_PRECONDITION",
      `PLAN_STALE_MODEL: the stages of model '${model}' answer '${expected.name}' up to ${maxAbs} otherwise than the ` +
        `whole model did, the plan allows ${golden.maxAbsDifference}: plan again on this machine`,
    );
  }
}
