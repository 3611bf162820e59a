/**
 * Builds small ONNX files for tests: messages as nested lists of fields, written straight to wire bytes.
 *
 * `onnxModel({ nodes: [node("Add", ["x", "y"], ["z"])], inputs: [tensorInfo("x", "FP32", [-1, 4]), ...], ... })`
 */
import { type DataType, ELEMENT_BYTES } from "../../proto/datatypes.ts";

/** ONNX's TensorProto.DataType of each datatype. */
const ELEMENT_TYPES: Readonly<Record<DataType, number>> = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
  BF16: 16,
};

/** A dimension: a size, a name, or undefined for one without either. */
export type Dim = number | string | undefined;

export interface ModelParts {
  readonly nodes: readonly Uint8Array[];
  readonly inputs: readonly Uint8Array[];
  readonly outputs: readonly Uint8Array[];
  readonly initializers?: readonly Uint8Array[];
  /** Operator set versions by domain; ai.onnx 17 by default. */
  readonly opsets?: Readonly<Record<string, number>>;
  readonly irVersion?: number;
  /** Further fields of the GraphProto and of the ModelProto, as `field()` writes them. */
  readonly extraGraphFields?: readonly Uint8Array[];
  readonly extraModelFields?: readonly Uint8Array[];
}

/** A whole model file. */
export function onnxModel(parts: ModelParts): Buffer {
  const opsets = Object.entries(parts.opsets ?? { "": 17 });
  const graph = Buffer.concat([
    ...parts.nodes.map((bytes) => field(1, bytes)),
    field(2, "graph"),
    ...(parts.initializers ?? []).map((bytes) => field(5, bytes)),
    ...parts.inputs.map((bytes) => field(11, bytes)),
    ...parts.outputs.map((bytes) => field(12, bytes)),
    ...(parts.extraGraphFields ?? []),
  ]);
  return Buffer.concat([
    field(1, parts.irVersion ?? 8),
    field(2, "hybridserve-test"),
    field(7, graph),
    ...opsets.map(([domain, version]) => field(8, Buffer.concat([field(1, domain), field(2, version)]))),
    ...(parts.extraModelFields ?? []),
  ]);
}

/** A NodeProto; attributes come from the `*Attribute` functions. */
export function node(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: readonly Uint8Array[] = [],
  domain = "",
): Buffer {
  return Buffer.concat([
    ...inputs.map((name) => field(1, name)),
    ...outputs.map((name) => field(2, name)),
    field(3, `${opType}_${outputs.join("_")}`),
    field(4, opType),
    ...attributes.map((bytes) => field(5, bytes)),
    field(7, domain),
  ]);
}

/** An integer AttributeProto. */
export function intAttribute(name: string, value: number): Buffer {
  return Buffer.concat([field(1, name), field(3, value), field(20, 2)]);
}

/** A list of integers as an AttributeProto. */
export function intsAttribute(name: string, values: readonly number[]): Buffer {
  return Buffer.concat([field(1, name), ...values.map((value) => field(8, value)), field(20, 7)]);
}

/** A TensorProto as an AttributeProto (the `value` of Constant). */
export function tensorAttribute(name: string, value: Uint8Array): Buffer {
  return Buffer.concat([field(1, name), field(5, value), field(20, 4)]);
}

/** A GraphProto as an AttributeProto (the bodies of If and Loop). */
export function graphAttribute(name: string, nodes: readonly Uint8Array[]): Buffer {
  const graph = Buffer.concat(nodes.map((bytes) => field(1, bytes)));
  return Buffer.concat([field(1, name), field(6, graph), field(20, 5)]);
}

/** A tensor ValueInfoProto; without `dims` its rank is unknown, with `[]` it is a scalar. */
export function tensorInfo(name: string, datatype: DataType | number, dims?: readonly Dim[]): Buffer {
  const elementType = typeof datatype === "number" ? datatype : ELEMENT_TYPES[datatype];
  const shape = dims === undefined ? [] : [field(2, Buffer.concat(dims.map((dim) => field(1, dimension(dim)))))];
  const type = field(1, Buffer.concat([field(1, elementType), ...shape]));
  return Buffer.concat([field(1, name), field(2, type)]);
}

/** A ValueInfoProto of sklearn's ZipMap: a sequence of maps from int64 to float. */
export function zipMapInfo(name: string): Buffer {
  const float = field(1, field(1, ELEMENT_TYPES.FP32));
  const map = field(5, Buffer.concat([field(1, ELEMENT_TYPES.INT64), field(2, float)]));
  return Buffer.concat([field(1, name), field(2, field(4, field(1, map)))]);
}

/** A TensorProto with raw little-endian data. */
export function tensor(name: string, datatype: DataType, dims: readonly number[], data: Uint8Array): Buffer {
  return Buffer.concat([
    ...dims.map((dim) => field(1, dim)),
    field(2, ELEMENT_TYPES[datatype]),
    field(8, name),
    field(9, data),
  ]);
}

/** A TensorProto of 32-bit floats. */
export function floatTensor(name: string, dims: readonly number[], values: readonly number[]): Buffer {
  return tensor(name, "FP32", dims, new Uint8Array(new Float32Array(values).buffer));
}

/** A TensorProto whose data lies in another file. */
export function externalTensor(
  name: string,
  datatype: DataType,
  dims: readonly number[],
  where: { readonly location: string; readonly offset?: number; readonly length?: number },
): Buffer {
  const entries = Object.entries(where).map(([key, value]) =>
    field(13, Buffer.concat([field(1, key), field(2, String(value))])),
  );
  return Buffer.concat([
    ...dims.map((dim) => field(1, dim)),
    field(2, ELEMENT_TYPES[datatype]),
    field(8, name),
    ...entries,
    field(14, 1),
  ]);
}

/** y = x for one tensor of any datatype. */
export function identityModel(datatype: DataType, dims: readonly Dim[], input = "x", output = "y"): Buffer {
  return onnxModel({
    nodes: [node("Identity", [input], [output])],
    inputs: [tensorInfo(input, datatype, dims)],
    outputs: [tensorInfo(output, datatype, dims)],
  });
}

/** OUTPUT0 = INPUT0 + INPUT1. */
export function addModel(datatype: DataType, dims: readonly Dim[]): Buffer {
  return onnxModel({
    nodes: [node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"])],
    inputs: [tensorInfo("INPUT0", datatype, dims), tensorInfo("INPUT1", datatype, dims)],
    outputs: [tensorInfo("OUTPUT0", datatype, dims)],
  });
}

/** y = x W + b with x `[N, rows of W]`, FP32; `weights` row by row. */
export function matMulModel(weights: readonly (readonly number[])[], bias: readonly number[]): Buffer {
  const rows = weights.length;
  return onnxModel({
    nodes: [node("MatMul", ["x", "weights"], ["product"]), node("Add", ["product", "bias"], ["y"])],
    inputs: [tensorInfo("x", "FP32", ["N", rows])],
    outputs: [tensorInfo("y", "FP32", ["N", bias.length])],
    initializers: [
      floatTensor("weights", [rows, bias.length], weights.flat()),
      floatTensor("bias", [bias.length], bias),
    ],
  });
}

/** Zeros of a tensor's size, for initializers whose values do not matter. */
export function zeros(datatype: DataType, count: number): Uint8Array {
  return new Uint8Array(ELEMENT_BYTES[datatype] * count);
}

/** One protobuf field: a number as a varint (negative ones as int64), a text or bytes with their length. */
export function field(number: number, value: number | string | Uint8Array): Buffer {
  if (typeof value === "number") return Buffer.concat([varint(number << 3), varint(value)]);
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.byteLength), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

function dimension(dim: Dim): Buffer {
  if (dim === undefined) return Buffer.alloc(0);
  if (typeof dim === "string") return field(2, dim);
  // As users write it in a configuration: -1 is a size that is not fixed.
  return dim === -1 ? Buffer.alloc(0) : field(1, dim);
}
