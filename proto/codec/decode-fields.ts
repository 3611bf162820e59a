/** Fields that requests and responses share: bounded strings, parameter maps, tensors without their raw data. */
import { InferenceError } from "../errors.ts";
import { NO_PARAMETERS, type Parameter } from "../inference.ts";
import type { WireLimits } from "../limits.ts";
import { FIXED64, LENGTH_DELIMITED, VARINT, type WireReader } from "../wire/reader.ts";
import { decodeUtf8 } from "../wire/utf8.ts";
import type { WireTensor } from "./wire-request.ts";

const NO_CONTENTS: readonly Uint8Array[] = [];

/** Tags of `InferInputTensor` and `InferOutputTensor`. */
const NAME = (1 << 3) | LENGTH_DELIMITED;
const DATATYPE = (2 << 3) | LENGTH_DELIMITED;
const SHAPE = (3 << 3) | VARINT;
const PACKED_SHAPE = (3 << 3) | LENGTH_DELIMITED;
const PARAMETERS = (4 << 3) | LENGTH_DELIMITED;
const CONTENTS = (5 << 3) | LENGTH_DELIMITED;

/** Tags of a map entry. */
const KEY = (1 << 3) | LENGTH_DELIMITED;
const VALUE = (2 << 3) | LENGTH_DELIMITED;

/** Tags of `InferParameter`. */
const BOOL_PARAM = (1 << 3) | VARINT;
const INT64_PARAM = (2 << 3) | VARINT;
const STRING_PARAM = (3 << 3) | LENGTH_DELIMITED;
const DOUBLE_PARAM = (4 << 3) | FIXED64;
const UINT64_PARAM = (5 << 3) | VARINT;

/** Where a field is in its message, for errors: `inputs[3].name`; `list` is "" for fields of the message itself. */
export interface FieldPath {
  readonly list: "" | "inputs" | "outputs";
  readonly index: number;
}

/** The path of a message's own fields. */
export const MESSAGE: FieldPath = { list: "", index: 0 };

/** A string of at most `limit` bytes of valid UTF-8. */
export function readString(reader: WireReader, limit: number, path: FieldPath, field: string): string {
  const length = reader.length();
  if (length > limit) throw refused(reader, path, field, `is ${length} bytes long; the limit is ${limit}`);
  const start = reader.position;
  reader.position += length;
  const text = decodeUtf8(reader.bytes, start, reader.position);
  if (text === undefined) throw refused(reader, path, field, "is not valid UTF-8");
  return text;
}

/** Refuses a repeated field that grew to `count` entries. */
export function checkCount(reader: WireReader, count: number, limit: number, path: FieldPath, field: string): void {
  if (count > limit) throw refused(reader, path, field, `has at least ${count} entries; the limit is ${limit}`);
}

/** Reads the message of a tensor: everything but its raw data. */
export function readTensor(reader: WireReader, limits: WireLimits, path: FieldPath): WireTensor {
  const outer = reader.enter();
  const start = reader.position;
  const shape: number[] = [];
  let name = "";
  let datatype = "";
  let parameters: Map<string, Parameter> | undefined;
  let contents: Uint8Array[] | undefined;
  let exact = true;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case NAME:
        name = readString(reader, limits.maxStringBytes, path, "name");
        break;
      case DATATYPE:
        datatype = readString(reader, limits.maxStringBytes, path, "datatype");
        break;
      case SHAPE:
        exact = readDim(reader, shape, limits, path) && exact;
        break;
      case PACKED_SHAPE: {
        const tensorEnd = reader.enter();
        while (reader.position < reader.end) exact = readDim(reader, shape, limits, path) && exact;
        reader.leave(tensorEnd);
        break;
      }
      case PARAMETERS:
        parameters = readParameter(reader, parameters, limits, path);
        break;
      case CONTENTS:
        contents ??= [];
        checkCount(reader, contents.push(reader.view()), limits.maxContentsPieces, path, "contents");
        break;
      default:
        reader.skip(tag);
    }
  }
  if (!exact) throw invalidDimension(reader, start, name);
  reader.leave(outer);
  return { name, datatype, shape, parameters: parameters ?? NO_PARAMETERS, contents: contents ?? NO_CONTENTS };
}

/** Reads one entry of a parameter map into `parameters`, or into a new map while there is none. */
export function readParameter(
  reader: WireReader,
  parameters: Map<string, Parameter> | undefined,
  limits: WireLimits,
  path: FieldPath,
): Map<string, Parameter> {
  const outer = reader.enter();
  let key = "";
  let parameter: Parameter | undefined;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case KEY:
        key = readString(reader, limits.maxParameterKeyBytes, path, "parameters key");
        break;
      case VALUE:
        parameter = readParameterValue(reader, parameter, limits, path);
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outer);
  if (parameter === undefined) throw new InferenceError(reader.code, untypedParameter(key));
  const map = parameters ?? new Map<string, Parameter>();
  map.set(key, parameter);
  checkCount(reader, map.size, limits.maxParameters, path, "parameters");
  return map;
}

/** Triton's text for a parameter without a value or of a type that it cannot hand to a backend. */
export function untypedParameter(key: string): string {
  return `invalid value type for '${key}' parameter, expected int64_param, bool_param, or string_param.`;
}

/** Of several members of the oneof the last one counts. */
function readParameterValue(
  reader: WireReader,
  before: Parameter | undefined,
  limits: WireLimits,
  path: FieldPath,
): Parameter | undefined {
  const outer = reader.enter();
  let parameter = before;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case BOOL_PARAM:
        parameter = { kind: "bool", value: reader.bool() };
        break;
      case INT64_PARAM:
        parameter = { kind: "int64", value: reader.bigInt64() };
        break;
      case STRING_PARAM:
        parameter = { kind: "string", value: readString(reader, limits.maxStringBytes, path, "parameters value") };
        break;
      case DOUBLE_PARAM:
        parameter = { kind: "double", value: reader.double() };
        break;
      case UINT64_PARAM:
        parameter = { kind: "uint64", value: reader.bigUint64() };
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outer);
  return parameter;
}

/** Appends one dimension; false where a number cannot hold it. */
function readDim(reader: WireReader, shape: number[], limits: WireLimits, path: FieldPath): boolean {
  const dim = reader.int64();
  checkCount(reader, shape.push(dim), limits.maxDims, path, "shape");
  return !Number.isNaN(dim);
}

/** Triton's text for a dimension beyond all sizes; reads the shape again, exactly. */
function invalidDimension(reader: WireReader, start: number, name: string): InferenceError {
  const shape: bigint[] = [];
  reader.position = start;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === SHAPE) shape.push(reader.bigInt64());
    else if (tag === PACKED_SHAPE) {
      const outer = reader.enter();
      while (reader.position < reader.end) shape.push(reader.bigInt64());
      reader.leave(outer);
    } else reader.skip(tag);
  }
  return new InferenceError(reader.code, `tensor '${name}' contains an invalid dimension [${shape.join(",")}]`);
}

function refused(reader: WireReader, path: FieldPath, field: string, why: string): InferenceError {
  const prefix = path.list === "" ? "" : `${path.list}[${path.index}].`;
  return new InferenceError(reader.code, `${prefix}${field} ${why}`);
}
