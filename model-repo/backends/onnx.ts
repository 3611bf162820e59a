/** The `onnxruntime` backend: a version directory with an ONNX file becomes sessions in threads or processes. */
import { fromConfigDataType } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { Model } from "../../scheduler/model.ts";
import type { ModelInput, ModelOutput } from "../config/model-config.ts";
import { checkModelFile, findModelFile } from "../config/model-file.ts";
import { cudaOffer } from "../onnx-providers.ts";
import type { Backend, LoadContext } from "./backend.ts";
import type { BoundTensor } from "./batch-memory.ts";
import { batchedModel } from "./batched-model.ts";
import { placedOnnx, startAll } from "./onnx-placed.ts";
import { planOnnx } from "./onnx-settings.ts";

export const onnxBackend: Backend = { load: loadOnnx };

async function loadOnnx(context: LoadContext): Promise<Model> {
  const { config } = context.resolved;
  const modelPath = await findModelFile(config, context.versionDirectory);
  await checkModelFile(context.resolved, context.versionDirectory);
  const tensors = {
    batches: config.max_batch_size > 0,
    inputs: config.input.map((input) => bind(config.name, input)),
    outputs: config.output.map((output) => bind(config.name, output)),
  };
  if (context.placement !== undefined) return placedOnnx(context, context.placement, modelPath, tensors);
  const { gpus } = cudaOffer();
  const { instances, threadCount, warnings } = planOnnx(config, context.backendConfig, context.coreCount, gpus);
  for (const warning of warnings) context.log.warn({ model: config.name }, warning);
  context.claimThreads(threadCount);
  const { clock, log } = context;
  const options = instances.map((instance) => ({ ...instance, ...tensors, model: config.name, modelPath, clock, log }));
  return batchedModel(context, await startAll(options));
}

/** A tensor of the configuration as an instance takes it; UNIMPLEMENTED for a type that the runtime cannot pass. */
export function bind(model: string, tensor: ModelInput | ModelOutput): BoundTensor {
  const datatype = fromConfigDataType(tensor.data_type);
  if (datatype === undefined || datatype === "BF16") {
    throw new InferenceError(
      "UNIMPLEMENTED",
      `model '${model}', tensor '${tensor.name}': onnxruntime-node cannot pass ${tensor.data_type}`,
    );
  }
  return { name: tensor.name, datatype, dims: tensor.dims, reshape: tensor.reshape?.shape };
}
