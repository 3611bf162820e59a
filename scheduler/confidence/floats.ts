/** Reads tensors as numbers: in place where the bytes are aligned, else through one copy a tensor. */
import { InferenceError } from "../../proto/errors.ts";
import type { Tensor } from "../../proto/tensor.ts";

/** The elements of an FP32, FP64 or FP16 tensor; a view where the bytes are aligned, else a copy. */
export function readFloats(tensor: Tensor): Float32Array | Float64Array {
  const { datatype, data } = tensor;
  if (datatype === "FP32") return new Float32Array(...aligned(data, 4));
  if (datatype === "FP64") return new Float64Array(...aligned(data, 8));
  if (datatype === "FP16") return fromHalves(new Uint16Array(...aligned(data, 2)));
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `tensor '${tensor.name}' has datatype ${datatype}; confidence is computed from FP16, FP32 or FP64 scores`,
  );
}

/** Elements of a mask as numbers of which 0 means "does not count": BOOL, integers or floats. */
export function readMask(tensor: Tensor): ArrayLike<number> {
  const { datatype, data } = tensor;
  switch (datatype) {
    case "BOOL":
    case "UINT8":
    case "INT8":
      return data;
    case "UINT16":
    case "INT16":
      return new Uint16Array(...aligned(data, 2));
    case "UINT32":
    case "INT32":
      return new Uint32Array(...aligned(data, 4));
    case "UINT64":
    case "INT64":
      return Uint8Array.from(new BigUint64Array(...aligned(data, 8)), (element) => (element === 0n ? 0 : 1));
    case "FP16":
    case "FP32":
    case "FP64":
      return readFloats(tensor);
    default:
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `tensor '${tensor.name}' has datatype ${datatype}; a mask holds BOOL, integers or FP16, FP32, FP64`,
      );
  }
}

function aligned(data: Uint8Array, elementBytes: number): [ArrayBufferLike, number, number] {
  const bytes = data.byteOffset % elementBytes === 0 ? data : new Uint8Array(data);
  return [bytes.buffer, bytes.byteOffset, Math.floor(bytes.byteLength / elementBytes)];
}

/** Every binary16 number at its bits: a look-up is several times faster than decoding. */
const HALVES = new Float32Array(0x10000);
for (let bits = 0; bits < HALVES.length; bits++) HALVES[bits] = halfToNumber(bits);

function fromHalves(halves: Uint16Array): Float32Array {
  const floats = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) floats[i] = HALVES[halves[i] as number] as number; // all bits are in the table
  return floats;
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
