/** From a model's configuration to what its clients see. */
import { fromConfigDataType } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { ModelSignature, TensorSpec } from "../../scheduler/signature.ts";
import type { ModelConfig, ModelInput, ModelOutput } from "./model-config.ts";

/**
 * The signature of one version of a model. Shapes are the configuration's `dims`, as on the wire; a `reshape` is the
 * backend's business.
 */
export function toSignature(config: ModelConfig, version: string): ModelSignature {
  return {
    name: config.name,
    version,
    maxBatchSize: config.max_batch_size,
    inputs: config.input.map((input) => ({ ...toTensorSpec(input, config.name), optional: input.optional })),
    outputs: config.output.map((output) => toTensorSpec(output, config.name)),
  };
}

function toTensorSpec(tensor: ModelInput | ModelOutput, model: string): TensorSpec {
  const datatype = fromConfigDataType(tensor.data_type);
  if (datatype === undefined) {
    throw new InferenceError(
      "INTERNAL",
      `model '${model}', tensor '${tensor.name}': no datatype '${tensor.data_type}'`,
    );
  }
  return { name: tensor.name, datatype, dims: tensor.dims };
}
