/** ModelInferRequest to wire bytes, for clients: sizes first, then one allocation. */
import type { InferenceRequest } from "../inference.ts";
import { LENGTH_DELIMITED } from "../wire/reader.ts";
import { delimitedSize, stringFieldSize, WireWriter } from "../wire/writer.ts";
import { parametersSize, tensorSize, writeParameters, writeTensor } from "./encode-fields.ts";

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

/** The request as wire bytes, its data in raw_input_contents, one entry per input. */
export function encodeInferRequest(request: InferenceRequest): Buffer {
  const writer = WireWriter.ofSize(requestSize(request));
  writer.stringField(MODEL_NAME, request.modelName);
  writer.stringField(MODEL_VERSION, request.modelVersion);
  writer.stringField(ID, request.id);
  writeParameters(writer, PARAMETERS, request.parameters);
  for (const input of request.inputs) writeTensor(writer, INPUTS, input);
  for (const { name, parameters } of request.requestedOutputs) {
    writer.tag(OUTPUTS);
    writer.varint(stringFieldSize(name) + parametersSize(parameters));
    writer.stringField(OUTPUT_NAME, name);
    writeParameters(writer, OUTPUT_PARAMETERS, parameters);
  }
  for (const input of request.inputs) {
    writer.tag(RAW_INPUT_CONTENTS);
    writer.delimited(input.data);
  }
  return writer.bytes;
}

function requestSize(request: InferenceRequest): number {
  let size =
    stringFieldSize(request.modelName) +
    stringFieldSize(request.modelVersion) +
    stringFieldSize(request.id) +
    parametersSize(request.parameters);
  for (const input of request.inputs) {
    size += 2 + delimitedSize(tensorSize(input)) + delimitedSize(input.data.byteLength);
  }
  for (const { name, parameters } of request.requestedOutputs) {
    size += 1 + delimitedSize(stringFieldSize(name) + parametersSize(parameters));
  }
  return size;
}
