/** Fields that requests and responses share, written: parameter maps, tensors without and with their raw data. */
import type { Parameter, Parameters } from "../inference.ts";
import type { Tensor } from "../tensor.ts";
import { FIXED64, LENGTH_DELIMITED, VARINT } from "../wire/reader.ts";
import { utf8Length } from "../wire/utf8.ts";
import { bigIntSize, delimitedSize, int64Size, stringFieldSize, type WireWriter } from "../wire/writer.ts";

const NAME = (1 << 3) | LENGTH_DELIMITED;
const DATATYPE = (2 << 3) | LENGTH_DELIMITED;
const SHAPE = (3 << 3) | LENGTH_DELIMITED;

const KEY = (1 << 3) | LENGTH_DELIMITED;
const VALUE = (2 << 3) | LENGTH_DELIMITED;

const BOOL_PARAM = (1 << 3) | VARINT;
const INT64_PARAM = (2 << 3) | VARINT;
const STRING_PARAM = (3 << 3) | LENGTH_DELIMITED;
const DOUBLE_PARAM = (4 << 3) | FIXED64;
const UINT64_PARAM = (5 << 3) | VARINT;

/** Bytes of a parameter map as fields of its message. */
export function parametersSize(parameters: Parameters): number {
  if (parameters.size === 0) return 0;
  let size = 0;
  for (const [key, parameter] of parameters) size += 1 + delimitedSize(entrySize(key, parameter));
  return size;
}

/** Writes a parameter map, one field of `tag` an entry. */
export function writeParameters(writer: WireWriter, tag: number, parameters: Parameters): void {
  if (parameters.size === 0) return;
  for (const [key, parameter] of parameters) {
    writer.tag(tag);
    writer.varint(entrySize(key, parameter));
    writer.stringField(KEY, key);
    writer.tag(VALUE);
    writer.varint(parameterSize(parameter));
    writeParameter(writer, parameter);
  }
}

/** Bytes of a tensor's message: name, datatype, shape. */
export function tensorSize(tensor: Tensor): number {
  const shape = shapeSize(tensor.shape);
  return stringFieldSize(tensor.name) + stringFieldSize(tensor.datatype) + (shape === 0 ? 0 : 1 + delimitedSize(shape));
}

/** Writes a tensor's message as a field of `tag`; its data goes into the raw contents. */
export function writeTensor(writer: WireWriter, tag: number, tensor: Tensor): void {
  writer.tag(tag);
  writer.varint(tensorSize(tensor));
  writer.stringField(NAME, tensor.name);
  writer.stringField(DATATYPE, tensor.datatype);
  const shape = shapeSize(tensor.shape);
  if (shape === 0) return;
  writer.tag(SHAPE);
  writer.varint(shape);
  for (const dim of tensor.shape) writer.int64(dim);
}

function shapeSize(shape: readonly number[]): number {
  let size = 0;
  for (const dim of shape) size += int64Size(dim);
  return size;
}

function entrySize(key: string, parameter: Parameter): number {
  return stringFieldSize(key) + 1 + delimitedSize(parameterSize(parameter));
}

function parameterSize(parameter: Parameter): number {
  switch (parameter.kind) {
    case "bool":
      return 2;
    case "int64":
    case "uint64":
      return 1 + bigIntSize(parameter.value);
    case "string":
      return 1 + delimitedSize(utf8Length(parameter.value));
    case "double":
      return 9;
  }
}

/** Members of a oneof are written even where they hold the default: that is what tells which one is set. */
function writeParameter(writer: WireWriter, parameter: Parameter): void {
  switch (parameter.kind) {
    case "bool":
      writer.tag(BOOL_PARAM);
      writer.varint(parameter.value ? 1 : 0);
      return;
    case "int64":
      writer.tag(INT64_PARAM);
      writer.bigInt(parameter.value);
      return;
    case "uint64":
      writer.tag(UINT64_PARAM);
      writer.bigInt(parameter.value);
      return;
    case "string":
      writer.tag(STRING_PARAM);
      writer.string(parameter.value);
      return;
    case "double":
      writer.tag(DOUBLE_PARAM);
      writer.double(parameter.value);
      return;
  }
}
