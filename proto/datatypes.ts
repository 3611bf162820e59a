/** KServe v2 datatypes, their sizes and their names in a model configuration. */

export type DataType =
  | "BOOL"
  | "UINT8"
  | "UINT16"
  | "UINT32"
  | "UINT64"
  | "INT8"
  | "INT16"
  | "INT32"
  | "INT64"
  | "FP16"
  | "FP32"
  | "FP64"
  | "BYTES"
  | "BF16";

/** Name of a datatype in config.pbtxt (`model_config.proto`, enum DataType). */
export type ConfigDataType = `TYPE_${Exclude<DataType, "BYTES">}` | "TYPE_STRING";

/** Bytes of one element; 0 for BYTES, whose elements are length-prefixed. */
export const ELEMENT_BYTES: Readonly<Record<DataType, number>> = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
  BF16: 2,
};

/** Whether a text names a datatype. */
export function isDataType(text: string): text is DataType {
  return Object.hasOwn(ELEMENT_BYTES, text);
}

/** `FP32` -> `TYPE_FP32`, `BYTES` -> `TYPE_STRING`. */
export function toConfigDataType(datatype: DataType): ConfigDataType {
  return datatype === "BYTES" ? "TYPE_STRING" : `TYPE_${datatype}`;
}

/** `TYPE_FP32` -> `FP32`, `TYPE_STRING` -> `BYTES`; undefined for TYPE_INVALID and unknown names. */
export function fromConfigDataType(name: string): DataType | undefined {
  if (name === "TYPE_STRING") return "BYTES";
  const datatype = name.startsWith("TYPE_") ? name.slice(5) : "";
  return isDataType(datatype) && datatype !== "BYTES" ? datatype : undefined;
}
