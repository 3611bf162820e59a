/** ModelInferResponse and ModelStreamInferResponse to wire bytes: sizes first, then one pass into the caller's buffer. */
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

/** A message whose size is known and whose bytes are written where they are wanted, without a buffer in between. */
export interface WireMessage {
  readonly byteLength: number;
  /** Whether copy() was called: what the message was made of is no longer needed. */
  readonly isWritten: boolean;
  /** Writes all `byteLength` bytes into `target` from `offset` on. */
  copy(target: Buffer, offset: number): void;
}

/**
 * A response with its data in raw_output_contents, one entry per output. Throws InferenceError INVALID_ARGUMENT,
 * Triton's text, for a response that gRPC cannot carry.
 */
export class InferResponseMessage implements WireMessage {
  readonly byteLength: number;
  isWritten = false;
  readonly #response: InferenceResponse;

  constructor(response: InferenceResponse) {
    this.byteLength = checkSize(responseSize(response));
    this.#response = response;
  }

  copy(target: Buffer, offset: number): void {
    writeResponse(new WireWriter(target, offset), this.#response);
    this.isWritten = true;
  }
}

/**
 * One message of a response stream. `errorMessage` is "" for a success. What Triton leaves out of an error's response
 * (model name, version, parameters) the caller leaves empty. Throws as InferResponseMessage does.
 */
export class StreamResponseMessage implements WireMessage {
  readonly byteLength: number;
  isWritten = false;
  readonly #errorMessage: string;
  readonly #response: InferenceResponse;
  readonly #responseBytes: number;

  constructor(errorMessage: string, response: InferenceResponse) {
    this.#errorMessage = errorMessage;
    this.#response = response;
    this.#responseBytes = responseSize(response);
    this.byteLength = checkSize(stringFieldSize(errorMessage) + 1 + delimitedSize(this.#responseBytes));
  }

  copy(target: Buffer, offset: number): void {
    const writer = new WireWriter(target, offset);
    writer.stringField(ERROR_MESSAGE, this.#errorMessage);
    writer.tag(INFER_RESPONSE);
    writer.varint(this.#responseBytes);
    writeResponse(writer, this.#response);
    this.isWritten = true;
  }
}

/** A message as bytes of its own. */
export function toBytes(message: WireMessage): Buffer {
  const bytes = Buffer.allocUnsafe(message.byteLength);
  message.copy(bytes, 0);
  return bytes;
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
