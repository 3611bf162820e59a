/** ModelInferResponse and ModelStreamInferResponse to wire bytes: sizes first, then one allocation. */
import { InferenceError } from "../errors.ts";
import type { InferenceResponse } from "../inference.ts";
import { LENGTH_DELIMITED } from "../wire/reader.ts";
import { delimitedSize, stringFieldSize, WireWriter } from "../wire/writer.ts";
import { parametersSize, tensorSize, writeParameters, writeTensor } from "./encode-fields.ts";

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

/** gRPC's own bound on one message. */
const MAX_MESSAGE_BYTES = 2_147_483_647;

/**
 * The response as wire bytes, its data in raw_output_contents, one entry per output. Throws InferenceError
 * INVALID_ARGUMENT, Triton's text, for a response that gRPC cannot carry.
 */
export function encodeInferResponse(response: InferenceResponse): Buffer {
  const writer = new WireWriter(checkSize(responseSize(response)));
  writeResponse(writer, response);
  return writer.bytes;
}

/**
 * One message of a response stream as wire bytes. `errorMessage` is "" for a success. What Triton leaves out of an
 * error's response (model name, version, parameters) the caller leaves empty.
 */
export function encodeStreamResponse(errorMessage: string, response: InferenceResponse): Buffer {
  const inner = responseSize(response);
  const writer = new WireWriter(checkSize(stringFieldSize(errorMessage) + 1 + delimitedSize(inner)));
  writer.stringField(ERROR_MESSAGE, errorMessage);
  writer.tag(INFER_RESPONSE);
  writer.varint(inner);
  writeResponse(writer, response);
  return writer.bytes;
}

function responseSize(response: InferenceResponse): number {
  let size =
    stringFieldSize(response.modelName) +
    stringFieldSize(response.modelVersion) +
    stringFieldSize(response.id) +
    parametersSize(response.parameters);
  for (const output of response.outputs) {
    size += 2 + delimitedSize(tensorSize(output)) + delimitedSize(output.data.byteLength);
  }
  return size;
}

function writeResponse(writer: WireWriter, response: InferenceResponse): void {
  writer.stringField(MODEL_NAME, response.modelName);
  writer.stringField(MODEL_VERSION, response.modelVersion);
  writer.stringField(ID, response.id);
  writeParameters(writer, PARAMETERS, response.parameters);
  for (const output of response.outputs) writeTensor(writer, OUTPUTS, output);
  for (const output of response.outputs) {
    writer.tag(RAW_OUTPUT_CONTENTS);
    writer.delimited(output.data);
  }
}

function checkSize(bytes: number): number {
  if (bytes <= MAX_MESSAGE_BYTES) return bytes;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `Response has byte size ${bytes} which exceeds gRPC's byte size limit ${MAX_MESSAGE_BYTES}.`,
  );
}
