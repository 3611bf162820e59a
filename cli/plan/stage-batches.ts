/** Batches on their way through the stages of a model: tensors by name, to which every stage adds what it computes. */
import type { MeasuredModel } from "../../model-repo/profile/open-model.ts";
import { type InferenceRequest, NO_PARAMETERS } from "../../proto/inference.ts";
import { concatTensors, type Tensor } from "../../proto/tensor.ts";
import type { ModelInstance } from "../../scheduler/instance.ts";
import type { WrittenStage } from "./write-stages.ts";

/** The inputs of a batch in one piece each. */
export function joined(requests: readonly InferenceRequest[]): Tensor[] {
  const first = requests[0]?.inputs ?? [];
  if (requests.length === 1) return [...first];
  return first.map(({ name }) =>
    concatTensors(requests.flatMap((request) => request.inputs.find((input) => input.name === name) ?? [])),
  );
}

export function tensorMap(tensors: readonly Tensor[]): Map<string, Tensor> {
  return new Map(tensors.map((tensor) => [tensor.name, tensor]));
}

/** Runs every batch once more, so that the next stage finds its inputs. */
export async function runAll(
  instance: ModelInstance,
  model: MeasuredModel,
  stage: WrittenStage,
  batches: ReadonlyMap<number, readonly Map<string, Tensor>[]>,
): Promise<void> {
  for (const tensors of [...batches.values()].flat()) {
    const { outputs } = await instance.execute([stageRequest(model, stage, tensors)]);
    for (const output of outputs[0] ?? []) tensors.set(output.name, output);
  }
}

/** One request with the batch for the stage. */
export function stageRequest(
  { signature }: MeasuredModel,
  stage: WrittenStage,
  tensors: ReadonlyMap<string, Tensor>,
): InferenceRequest {
  return {
    modelName: signature.name,
    modelVersion: signature.version,
    id: "",
    parameters: NO_PARAMETERS,
    inputs: stage.inputs.flatMap(({ name }) => tensors.get(name) ?? []),
    requestedOutputs: [],
  };
}
