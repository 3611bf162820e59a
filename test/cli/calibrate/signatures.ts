/** Signatures of made-up models. */
import type { CascadeLevel } from "../../../proto/files/cascade-file.ts";
import type { ModelSignature, TensorSpec } from "../../../scheduler/signature.ts";

export function spec(name: string, dims: readonly number[], datatype: TensorSpec["datatype"] = "FP32"): TensorSpec {
  return { name, datatype, dims };
}

export function modelSignature(
  name: string,
  inputs: readonly TensorSpec[],
  outputs: readonly TensorSpec[],
  maxBatchSize = 8,
): ModelSignature {
  return { name, version: "1", versions: ["1"], platform: "", maxBatchSize, inputs, outputs } as ModelSignature; // all that wiring reads
}

export function cascadeLevel(model: string, rest: Partial<CascadeLevel> = {}): CascadeLevel {
  return { model, version: "1", inputs: {}, outputs: {}, labelMap: null, confidence: null, cost: null, ...rest };
}
