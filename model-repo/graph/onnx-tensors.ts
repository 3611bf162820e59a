/** onnxruntime-node's tensors from raw bytes and back. */
import type { Tensor as OnnxTensor } from "onnxruntime-node";
import { type DataType, ELEMENT_BYTES } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { decodeStrings, encodeStrings } from "../backends/bytes-elements.ts";

type NumericDataType = Exclude<DataType, "BYTES" | "BF16">;
type Runtime = typeof import("onnxruntime-node");

interface NumericType {
  readonly type: Exclude<OnnxTensor.Type, "string">;
  readonly elements: new (buffer: ArrayBuffer) => OnnxTensor.DataType;
}

/** The binding's name and element type of each datatype; half floats travel as their bits. */
const NUMERIC: Readonly<Record<NumericDataType, NumericType>> = {
  BOOL: { type: "bool", elements: Uint8Array },
  UINT8: { type: "uint8", elements: Uint8Array },
  UINT16: { type: "uint16", elements: Uint16Array },
  UINT32: { type: "uint32", elements: Uint32Array },
  UINT64: { type: "uint64", elements: BigUint64Array },
  INT8: { type: "int8", elements: Int8Array },
  INT16: { type: "int16", elements: Int16Array },
  INT32: { type: "int32", elements: Int32Array },
  INT64: { type: "int64", elements: BigInt64Array },
  FP16: { type: "float16", elements: Uint16Array },
  FP32: { type: "float32", elements: Float32Array },
  FP64: { type: "float64", elements: Float64Array },
};

const DATATYPES: ReadonlyMap<string, NumericDataType> = new Map(
  (Object.keys(NUMERIC) as NumericDataType[]).map((datatype) => [NUMERIC[datatype].type, datatype]),
);

/** The KServe datatype of the binding's type name; undefined where it has none. */
export function datatypeOf(type: string): DataType | undefined {
  return type === "string" ? "BYTES" : DATATYPES.get(type);
}

/** A tensor of the binding over a copy of the bytes. */
export function toOnnxTensor(runtime: Runtime, { name, datatype, shape, data }: Tensor): OnnxTensor {
  if (datatype === "BYTES") return new runtime.Tensor("string", decodeStrings(name, data), shape);
  if (datatype === "BF16") {
    throw new InferenceError("UNIMPLEMENTED", `'${name}': onnxruntime-node cannot pass BF16; cast it in the model`);
  }
  const { type, elements } = NUMERIC[datatype];
  if (data.byteLength % ELEMENT_BYTES[datatype] !== 0) {
    throw new InferenceError("INVALID_ARGUMENT", `'${name}': ${data.byteLength} bytes are no ${datatype} elements`);
  }
  return new runtime.Tensor(type, new elements(new Uint8Array(data).buffer), shape);
}

/** A result of the binding as raw bytes, a view on its memory. */
export function toTensor(name: string, result: OnnxTensor): Tensor {
  const { data, dims, type } = result;
  const datatype = datatypeOf(type);
  if (datatype === undefined) throw new InferenceError("UNIMPLEMENTED", `'${name}' has elements of type ${type}`);
  if (Array.isArray(data))
    return { name, datatype, shape: dims, data: new Uint8Array(encodeStrings(data as string[])) };
  const { buffer, byteOffset, byteLength } = data as Uint8Array<ArrayBuffer>;
  return { name, datatype, shape: dims, data: new Uint8Array(buffer, byteOffset, byteLength) };
}
