/** Reads a floating-point tensor as numbers. */
import { InferenceError } from "../../proto/errors.ts";
import type { Tensor } from "../../proto/tensor.ts";

/** The elements of an FP32, FP64 or FP16 tensor; a view where the bytes are aligned, else a copy. */
export function readFloats(tensor: Tensor): Float32Array | Float64Array {
  const { datatype, data } = tensor;
  if (datatype === "FP32") return new Float32Array(...aligned(data, 4));
  if (datatype === "FP64") return new Float64Array(...aligned(data, 8));
  if (datatype === "FP16") return Float32Array.from(new Uint16Array(...aligned(data, 2)), halfToNumber);
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `tensor '${tensor.name}' has datatype ${datatype}; confidence is computed from FP16, FP32 or FP64 scores`,
  );
}

function aligned(data: Uint8Array, elementBytes: number): [ArrayBufferLike, number, number] {
  const bytes = data.byteOffset % elementBytes === 0 ? data : data.slice();
  return [bytes.buffer, bytes.byteOffset, Math.floor(bytes.byteLength / elementBytes)];
}

/** IEEE 754 binary16 bits as a number. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
