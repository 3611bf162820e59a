/** ModelInferRequest from wire bytes: one pass, bounded work, tensor data as views on the bytes. */
import { NO_PARAMETERS, type Parameter, type RequestedOutput } from "../inference.ts";
import type { WireLimits } from "../limits.ts";
import { LENGTH_DELIMITED, WireReader } from "../wire/reader.ts";
import { checkCount, type FieldPath, MESSAGE, readParameter, readString, readTensor } from "./decode-fields.ts";
import type { WireInferRequest, WireTensor } from "./wire-request.ts";

/** Tags of `ModelInferRequest`. */
const MODEL_NAME = (1 << 3) | LENGTH_DELIMITED;
const MODEL_VERSION = (2 << 3) | LENGTH_DELIMITED;
const ID = (3 << 3) | LENGTH_DELIMITED;
const PARAMETERS = (4 << 3) | LENGTH_DELIMITED;
const INPUTS = (5 << 3) | LENGTH_DELIMITED;
const OUTPUTS = (6 << 3) | LENGTH_DELIMITED;
const RAW_INPUT_CONTENTS = (7 << 3) | LENGTH_DELIMITED;

/** Tags of `InferRequestedOutputTensor`. */
const OUTPUT_NAME = (1 << 3) | LENGTH_DELIMITED;
const OUTPUT_PARAMETERS = (2 << 3) | LENGTH_DELIMITED;

/**
 * Decodes a request. Its tensors are views on `bytes`, which must not change while the request lives. Throws
 * InferenceError INVALID_ARGUMENT, nothing else: for malformed bytes, for strings that are not UTF-8, for what exceeds
 * `limits`, for dimensions beyond 2^53 and for parameters without a value.
 */
export function decodeInferRequest(bytes: Uint8Array, limits: WireLimits): WireInferRequest {
  return readInferRequest(new WireReader(bytes, { subject: "ModelInferRequest", maxFields: limits.maxFields }), limits);
}

/** The same from a reader, whose `fields` then tell how much was scanned. */
export function readInferRequest(reader: WireReader, limits: WireLimits): WireInferRequest {
  let modelName = "";
  let modelVersion = "";
  let id = "";
  let parameters: Map<string, Parameter> | undefined;
  const inputs: WireTensor[] = [];
  const requestedOutputs: RequestedOutput[] = [];
  const rawInputContents: Uint8Array[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case MODEL_NAME:
        modelName = readString(reader, limits.maxModelNameBytes, MESSAGE, "model_name");
        break;
      case MODEL_VERSION:
        modelVersion = readString(reader, limits.maxStringBytes, MESSAGE, "model_version");
        break;
      case ID:
        id = readString(reader, limits.maxRequestIdBytes, MESSAGE, "id");
        break;
      case PARAMETERS:
        parameters = readParameter(reader, parameters, limits, MESSAGE);
        break;
      case INPUTS:
        checkCount(reader, inputs.length + 1, limits.maxInputs, MESSAGE, "inputs");
        inputs.push(readTensor(reader, limits, { list: "inputs", index: inputs.length }));
        break;
      case OUTPUTS:
        checkCount(reader, requestedOutputs.length + 1, limits.maxOutputs, MESSAGE, "outputs");
        requestedOutputs.push(readRequestedOutput(reader, limits, { list: "outputs", index: requestedOutputs.length }));
        break;
      case RAW_INPUT_CONTENTS:
        checkCount(reader, rawInputContents.length + 1, limits.maxRawTensors, MESSAGE, "raw_input_contents");
        rawInputContents.push(reader.view());
        break;
      default:
        reader.skip(tag);
    }
  }
  return {
    modelName,
    modelVersion,
    id,
    parameters: parameters ?? NO_PARAMETERS,
    inputs,
    requestedOutputs,
    rawInputContents,
  };
}

function readRequestedOutput(reader: WireReader, limits: WireLimits, path: FieldPath): RequestedOutput {
  const outer = reader.enter();
  let name = "";
  let parameters: Map<string, Parameter> | undefined;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case OUTPUT_NAME:
        name = readString(reader, limits.maxStringBytes, path, "name");
        break;
      case OUTPUT_PARAMETERS:
        parameters = readParameter(reader, parameters, limits, path);
        break;
      default:
        reader.skip(tag);
    }
  }
  reader.leave(outer);
  return { name, parameters: parameters ?? NO_PARAMETERS };
}
