/** Short ways to make tensors and requests in tests. */
import type { DataType } from "../../proto/datatypes.ts";
import { type InferenceRequest, NO_PARAMETERS } from "../../proto/inference.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { ModelSignature, TensorSpec } from "../../scheduler/signature.ts";

export function fp32(name: string, shape: readonly number[], values: readonly number[]): Tensor {
  return { name, datatype: "FP32", shape, data: new Uint8Array(Float32Array.from(values).buffer) };
}

/** Elements of an FP32 tensor. */
export function floats(tensor: Tensor | undefined): number[] {
  const data = tensor?.data.slice();
  return data === undefined ? [] : [...new Float32Array(data.buffer)];
}

/** Elements of an INT32 tensor. */
export function integers(tensor: Tensor | undefined): number[] {
  const data = tensor?.data.slice();
  return data === undefined ? [] : [...new Int32Array(data.buffer)];
}

/** A BYTES tensor. */
export function bytes(name: string, shape: readonly number[], texts: readonly string[]): Tensor {
  const parts = texts.map((text) => {
    const body = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(body.length);
    return Buffer.concat([length, body]);
  });
  return { name, datatype: "BYTES", shape, data: new Uint8Array(Buffer.concat(parts)) };
}

export function request(overrides: Partial<InferenceRequest> = {}): InferenceRequest {
  return {
    modelName: "m",
    modelVersion: "",
    id: "",
    parameters: NO_PARAMETERS,
    inputs: [],
    requestedOutputs: [],
    ...overrides,
  };
}

/** An FP32 tensor of a signature. */
export function spec(name: string, dims: readonly number[], datatype: DataType = "FP32"): TensorSpec {
  return { name, datatype, dims };
}

/** A model "m" with inputs INPUTn and outputs OUTPUTn. */
export function signature(overrides: Partial<ModelSignature> = {}): ModelSignature {
  return {
    name: "m",
    version: "1",
    maxBatchSize: 8,
    inputs: [spec("INPUT0", [2])],
    outputs: [spec("OUTPUT0", [2])],
    ...overrides,
  };
}
