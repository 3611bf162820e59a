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
import { OnnxInstance } from "./onnx-instance.ts";
import { planOnnx } from "./onnx-settings.ts";

export const onnxBackend: Backend = { load: loadOnnx };

async function loadOnnx(context: LoadContext): Promise<Model> {
  const { config } = context.resolved;
  const { gpus } = cudaOffer();
  const {
    instances: planned,
    threadCount,
    warnings,
  } = planOnnx(config, context.backendConfig, context.coreCount, gpus);
  for (const warning of warnings) context.log.warn({ model: config.name }, warning);
  context.claimThreads(threadCount);
  const modelPath = await findModelFile(config, context.versionDirectory);
  await checkModelFile(context.resolved, context.versionDirectory);
  const starts = await Promise.allSettled(
    planned.map((instance) =>
      OnnxInstance.start({
        ...instance,
        model: config.name,
        modelPath,
        batches: config.max_batch_size > 0,
        inputs: config.input.map((input) => bind(config.name, input)),
        outputs: config.output.map((output) => bind(config.name, output)),
        clock: context.clock,
        log: context.log,
      }),
    ),
  );
  const instances = starts.filter((start) => start.status === "fulfilled").map((start) => start.value);
  const failed = starts.find((start) => start.status === "rejected");
  if (failed !== undefined) {
    await Promise.all(instances.map((instance) => instance.close()));
    throw InferenceError.from(failed.reason);
  }
  return batchedModel(context, instances);
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
