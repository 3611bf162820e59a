/** ModelInferResponse and ModelStreamInferResponse from wire bytes, for clients. */
import { isDataType } from "../datatypes.ts";
import { InferenceError } from "../errors.ts";
import { type InferenceResponse, NO_PARAMETERS, type Parameter } from "../inference.ts";
import { TRITON_LIMITS, type WireLimits } from "../limits.ts";
import type { Tensor } from "../tensor.ts";
import { LENGTH_DELIMITED, WireReader } from "../wire/reader.ts";
import { checkCount, MESSAGE, readParameter, readString, readTensor } from "./decode-fields.ts";
import { contentsDatatype, contentsToRaw, countContents } from "./typed-contents.ts";
import type { WireTensor } from "./wire-request.ts";

/** Tags of `ModelInferResponse`. */
const MODEL_NAME = (1 << 3) | LENGTH_DELIMITED;
const MODEL_VERSION = (2 << 3) | LENGTH_DELIMITED;
const ID = (3 << 3) | LENGTH_DELIMITED;
const PARAMETERS = (4 << 3) | LENGTH_DELIMITED;
const OUTPUTS = (5 << 3) | LENGTH_DELIMITED;
const RAW_OUTPUT_CONTENTS = (6 << 3) | LENGTH_DELIMITED;

/** Tags of `ModelStreamInferResponse`. */
const ERROR_MESSAGE = (1 << 3) | LENGTH_DELIMITED;
const INFER_RESPONSE = (2 << 3) | LENGTH_DELIMITED;

const NO_DATA = new Uint8Array(0);

/** One message of a response stream. */
export interface StreamResponse {
  /** "" for a success. */
  readonly errorMessage: string;
  /** Of an error: the request id, perhaps model name and version, no outputs. */
  readonly response: InferenceResponse;
}

/**
 * Decodes a response, raw or typed: servers of the same protocol answer in either way. Its tensors are views on
 * `bytes` where the layout allows. Throws InferenceError INTERNAL, nothing else: the server broke the protocol.
 */
export function decodeInferResponse(bytes: Uint8Array, limits: WireLimits = TRITON_LIMITS): InferenceResponse {
  const parts = emptyParts();
  readResponse(responseReader(bytes, "ModelInferResponse", limits), limits, parts);
  return assemble(parts);
}

/** Decodes one message of a response stream, as decodeInferResponse does a response. */
export function decodeStreamResponse(bytes: Uint8Array, limits: WireLimits = TRITON_LIMITS): StreamResponse {
  const reader = responseReader(bytes, "ModelStreamInferResponse", limits);
  const parts = emptyParts();
  let errorMessage = "";
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case ERROR_MESSAGE:
        errorMessage = readString(reader, limits.maxStringBytes, MESSAGE, "error_message");
        break;
      case INFER_RESPONSE: {
        const outer = reader.enter();
        readResponse(reader, limits, parts);
        reader.leave(outer);
        break;
      }
      default:
        reader.skip(tag);
    }
  }
  return { errorMessage, response: assemble(parts) };
}

/** A response while it is read. */
interface ResponseParts {
  modelName: string;
  modelVersion: string;
  id: string;
  parameters: Map<string, Parameter> | undefined;
  readonly outputs: WireTensor[];
  readonly raw: Uint8Array[];
}

function emptyParts(): ResponseParts {
  return { modelName: "", modelVersion: "", id: "", parameters: undefined, outputs: [], raw: [] };
}

function responseReader(bytes: Uint8Array, subject: string, limits: WireLimits): WireReader {
  return new WireReader(bytes, { subject, code: "INTERNAL", maxFields: limits.maxFields });
}

function readResponse(reader: WireReader, limits: WireLimits, parts: ResponseParts): void {
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case MODEL_NAME:
        parts.modelName = readString(reader, limits.maxModelNameBytes, MESSAGE, "model_name");
        break;
      case MODEL_VERSION:
        parts.modelVersion = readString(reader, limits.maxStringBytes, MESSAGE, "model_version");
        break;
      case ID:
        parts.id = readString(reader, limits.maxRequestIdBytes, MESSAGE, "id");
        break;
      case PARAMETERS:
        parts.parameters = readParameter(reader, parts.parameters, limits, MESSAGE);
        break;
      case OUTPUTS:
        checkCount(reader, parts.outputs.length + 1, limits.maxOutputs, MESSAGE, "outputs");
        parts.outputs.push(readTensor(reader, limits, { list: "outputs", index: parts.outputs.length }));
        break;
      case RAW_OUTPUT_CONTENTS:
        checkCount(reader, parts.raw.length + 1, limits.maxRawTensors, MESSAGE, "raw_output_contents");
        parts.raw.push(reader.view());
        break;
      default:
        reader.skip(tag);
    }
  }
}

function assemble(parts: ResponseParts): InferenceResponse {
  const { modelName, modelVersion, id } = parts;
  const outputs = parts.outputs.map((output, i): Tensor => {
    const { name, datatype, shape } = output;
    if (!isDataType(datatype)) throw broken(parts, `output '${name}' has the unknown datatype '${datatype}'`);
    const data = parts.raw.length > 0 ? parts.raw[i] : typedData(parts, output);
    if (data === undefined) throw broken(parts, `output '${name}' has no raw data`);
    return { name, datatype, shape, data };
  });
  return { modelName, modelVersion, id, parameters: parts.parameters ?? NO_PARAMETERS, outputs };
}

/** Typed contents as raw bytes; an output without any has no elements. */
function typedData(parts: ResponseParts, output: WireTensor): Uint8Array {
  const contents = countContents(output.contents, { subject: `contents of output '${output.name}'`, code: "INTERNAL" });
  const field = contents.counts.findIndex((count) => count > 0);
  if (field < 0) return NO_DATA;
  const carried = contentsDatatype(field, output.datatype);
  if (carried !== output.datatype || contents.counts.some((count, other) => count > 0 && other !== field)) {
    throw broken(parts, `output '${output.name}' is ${output.datatype} but its typed contents are not`);
  }
  return contentsToRaw(contents, field, carried);
}

function broken(parts: ResponseParts, what: string): InferenceError {
  return new InferenceError("INTERNAL", `malformed response of model '${parts.modelName}': ${what}`);
}
