/** What keeps requests out of one batch: sizes of variable dimensions, and which optional inputs are given. */
import type { InferenceRequest } from "../proto/inference.ts";
import type { ModelSignature } from "./signature.ts";

/** Whether requests of a model can differ in it. */
export function hasBatchKeys(signature: ModelSignature): boolean {
  return signature.inputs.some((spec) => spec.optional === true || spec.dims.includes(-1));
}

/** Equal for requests that fit into one batch. */
export function batchKey(signature: ModelSignature, request: InferenceRequest): string {
  const shapeOf = (name: string) =>
    request.inputs
      .find((input) => input.name === name)
      ?.shape.slice(1)
      .join("x");
  return signature.inputs.map((spec) => shapeOf(spec.name) ?? "absent").join();
}
