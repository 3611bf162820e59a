/** What an ONNX file says about itself, weights left out. */
import type { DataType } from "../datatypes.ts";

export interface OnnxModel {
  readonly irVersion: number;
  /** Version by domain; "" is ai.onnx. */
  readonly opsets: ReadonlyMap<string, number>;
  /** Such as `pytorch 2.9`; "" where the file does not say. */
  readonly producer: string;
  /** Inputs that a run must be fed: initializers, which IR < 4 lists among the inputs, are left out. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly initializers: readonly OnnxInitializer[];
  /** Operator domains of all nodes, those of subgraphs and local functions included. */
  readonly domains: ReadonlySet<string>;
  /** Nodes of the main graph. */
  readonly nodeCount: number;
  /** Every reference to data outside the file, those of subgraphs and of constants included. */
  readonly externalData: readonly ExternalData[];
}

/** An input or output of the main graph. */
export interface OnnxValue {
  readonly name: string;
  readonly kind: "tensor" | "sparse tensor" | "sequence" | "map" | "optional" | "unknown";
  /** Number of TensorProto.DataType; 0 where the kind has none. */
  readonly elementType: number;
  /** undefined: no KServe datatype holds the elements, see `elementTypeName`. */
  readonly datatype: DataType | undefined;
  /** -1 where the size is named or open; `[]` is a scalar; undefined: the rank is unknown. */
  readonly shape: readonly number[] | undefined;
  /** Name of each dimension, "" where it has none; as long as the shape. */
  readonly dimNames: readonly string[];
}

export interface OnnxInitializer {
  readonly name: string;
  readonly elementType: number;
  readonly dims: readonly number[];
  /** Where the TensorProto lies in the file; undefined for the entries of `sparse_initializer`. */
  readonly range: ByteRange | undefined;
  /** Set where the weights lie in another file. */
  readonly externalData: ExternalData | undefined;
}

/** Offsets in the file, the end excluded. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Where a tensor's data lies, as written in the model. */
export interface ExternalData {
  readonly tensor: string;
  /** Path relative to the model file's directory. */
  readonly location: string;
  readonly offset: number;
  /** undefined: to the end of the file. */
  readonly length: number | undefined;
}

interface ElementType {
  readonly name: string;
  readonly datatype?: DataType;
}

/** TensorProto.DataType by number, with the KServe datatype of the same bytes. */
const ELEMENT_TYPES: readonly ElementType[] = [
  { name: "undefined" },
  { name: "float", datatype: "FP32" },
  { name: "uint8", datatype: "UINT8" },
  { name: "int8", datatype: "INT8" },
  { name: "uint16", datatype: "UINT16" },
  { name: "int16", datatype: "INT16" },
  { name: "int32", datatype: "INT32" },
  { name: "int64", datatype: "INT64" },
  { name: "string", datatype: "BYTES" },
  { name: "bool", datatype: "BOOL" },
  { name: "float16", datatype: "FP16" },
  { name: "double", datatype: "FP64" },
  { name: "uint32", datatype: "UINT32" },
  { name: "uint64", datatype: "UINT64" },
  { name: "complex64" },
  { name: "complex128" },
  { name: "bfloat16", datatype: "BF16" },
  { name: "float8e4m3fn" },
  { name: "float8e4m3fnuz" },
  { name: "float8e5m2" },
  { name: "float8e5m2fnuz" },
  { name: "uint4" },
  { name: "int4" },
  { name: "float4e2m1" },
];

/** The KServe datatype of an element type number, if there is one. */
export function fromElementType(elementType: number): DataType | undefined {
  return ELEMENT_TYPES[elementType]?.datatype;
}

/** The element type number of a datatype. */
export function toElementType(datatype: DataType): number {
  return ELEMENT_TYPES.findIndex((type) => type.datatype === datatype);
}

/** ONNX's name of an element type number, for error texts. */
export function elementTypeName(elementType: number): string {
  return ELEMENT_TYPES[elementType]?.name ?? `element type ${elementType}`;
}
