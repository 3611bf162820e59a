import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeInferRequest, readInferRequest } from "../../../proto/codec/decode-request.ts";
import { decodeInferResponse, decodeStreamResponse } from "../../../proto/codec/decode-response.ts";
import { encodeInferRequest } from "../../../proto/codec/encode-request.ts";
import { InferResponseMessage, StreamResponseMessage, toBytes } from "../../../proto/codec/encode-response.ts";
import { checkRequestParameters } from "../../../proto/codec/request-parameters.ts";
import { toInferenceRequest } from "../../../proto/codec/resolve-inputs.ts";
import { isDataType } from "../../../proto/datatypes.ts";
import { InferenceError } from "../../../proto/errors.ts";
import type { InferenceRequest, Parameters } from "../../../proto/inference.ts";
import { TRITON_LIMITS } from "../../../proto/limits.ts";
import { loadDescriptors } from "../../../proto/load.ts";
import { WireReader } from "../../../proto/wire/reader.ts";
import { dice, mutate } from "./mutations.ts";

const SEED = 20_260_731;
const MUTATIONS = 10_000;

const root = loadDescriptors();
const encode = (type: string, message: Record<string, unknown>): Buffer => {
  const descriptor = root.lookupType(`inference.${type}`);
  return Buffer.from(descriptor.encode(descriptor.fromObject(message)).finish());
};

const parameters = {
  sequence_id: { int64_param: "-5" },
  priority: { uint64_param: "9" },
  text: { string_param: "ä€" },
  ratio: { double_param: 0.5 },
  flag: { bool_param: true },
};
const header = { model_name: "fashion", model_version: "3", id: "42" };
const typed: Record<string, Record<string, unknown>> = {
  BOOL: { bool_contents: [true, false] },
  INT8: { int_contents: [1, -1] },
  INT64: { int64_contents: ["9007199254740993", "-1"] },
  UINT16: { uint_contents: [1, 65535] },
  UINT64: { uint64_contents: ["18446744073709551615", "0"] },
  FP32: { fp32_contents: [1, 2] },
  FP64: { fp64_contents: [1, 2] },
  BYTES: { bytes_contents: [Buffer.from("ab"), Buffer.alloc(0)] },
};

const requestMessages = [
  encode("ModelInferRequest", {
    ...header,
    parameters,
    inputs: [
      { name: "INPUT0", datatype: "FP32", shape: [1, 4] },
      { name: "INPUT1", datatype: "INT32", shape: [-1, "9007199254740991"], parameters },
    ],
    outputs: [{ name: "OUTPUT0" }, { name: "OUTPUT1", parameters: { classification: { int64_param: 3 } } }],
    raw_input_contents: [Buffer.alloc(16, 1), Buffer.alloc(8, 2)],
  }),
  encode("ModelInferRequest", {
    ...header,
    inputs: Object.entries(typed).map(([datatype, contents]) => ({ name: datatype, datatype, shape: [2], contents })),
  }),
  encode("ModelInferRequest", {
    ...header,
    inputs: [{ name: "x", datatype: "BYTES", shape: [1], parameters: { shared_memory_region: { string_param: "r" } } }],
    outputs: [{ name: "y", parameters }],
  }),
];
const responseMessage = {
  ...header,
  parameters,
  outputs: [
    { name: "OUTPUT0", datatype: "FP32", shape: [1, 2] },
    { name: "OUTPUT1", datatype: "BYTES", shape: [1], parameters },
  ],
  raw_output_contents: [Buffer.alloc(8, 1), Buffer.from([1, 0, 0, 0, 65])],
};
const responseMessages = [
  encode("ModelInferResponse", responseMessage),
  encode("ModelInferResponse", {
    outputs: Object.entries(typed).map(([datatype, contents]) => ({ name: datatype, datatype, shape: [2], contents })),
  }),
];
const streamMessages = [encode("ModelStreamInferResponse", { error_message: "no", infer_response: responseMessage })];

function checkParameters(parameters: Parameters): void {
  const types = { bool: "boolean", int64: "bigint", uint64: "bigint", string: "string", double: "number" };
  for (const [key, { kind, value }] of parameters) {
    assert.equal(typeof key, "string");
    assert.equal(typeof value, types[kind]);
  }
}

function checkTensors(tensors: InferenceRequest["inputs"]): void {
  for (const { name, datatype, shape, data } of tensors) {
    assert.ok(isDataType(datatype), name);
    assert.ok(shape.length <= TRITON_LIMITS.maxDims && shape.every(Number.isSafeInteger));
    assert.ok(data instanceof Uint8Array);
  }
}

/** Takes a request all the way; anything but an InferenceError or a valid request fails the test. */
function tryRequest(bytes: Buffer): "valid" | "refused" {
  const reader = new WireReader(bytes, { subject: "ModelInferRequest", maxFields: TRITON_LIMITS.maxFields });
  try {
    const wire = readInferRequest(reader, TRITON_LIMITS);
    checkParameters(wire.parameters);
    for (const { contents } of wire.inputs) assert.ok(contents.length <= TRITON_LIMITS.maxContentsPieces);
    checkRequestParameters(wire.parameters);
    const request = toInferenceRequest(wire, () => "FP32");
    checkTensors(request.inputs);
    for (const output of request.requestedOutputs) checkParameters(output.parameters);
    const again = toInferenceRequest(decodeInferRequest(encodeInferRequest(request), TRITON_LIMITS), () => "FP32");
    assert.deepEqual({ ...again, inputs: [] }, { ...request, inputs: [] });
    assert.equal(again.inputs.length, request.inputs.length);
    return "valid";
  } catch (error) {
    if (!(error instanceof InferenceError) || error.code === "INTERNAL") throw error;
    return "refused";
  } finally {
    // Counted work: no byte is scanned as a field twice.
    assert.ok(reader.fields <= Math.min(bytes.length, TRITON_LIMITS.maxFields + 1));
    assert.ok(reader.position <= bytes.length);
  }
}

function tryResponse(decode: (bytes: Buffer) => void, bytes: Buffer): "valid" | "refused" {
  try {
    decode(bytes);
    return "valid";
  } catch (error) {
    if (!(error instanceof InferenceError)) throw error;
    assert.equal(error.code, "INTERNAL");
    return "refused";
  }
}

const decodeResponse = (bytes: Buffer) => {
  const response = decodeInferResponse(bytes);
  checkParameters(response.parameters);
  checkTensors(response.outputs);
  toBytes(new InferResponseMessage(response));
};
const decodeStream = (bytes: Buffer) => {
  const { errorMessage, response } = decodeStreamResponse(bytes);
  checkTensors(response.outputs);
  toBytes(new StreamResponseMessage(errorMessage, response));
};

const kinds: [name: string, messages: readonly Buffer[], attempt: (bytes: Buffer) => "valid" | "refused"][] = [
  ["request", requestMessages, tryRequest],
  ["response", responseMessages, (bytes) => tryResponse(decodeResponse, bytes)],
  ["stream response", streamMessages, (bytes) => tryResponse(decodeStream, bytes)],
];

describe("damaged messages", () => {
  for (const [name, messages, attempt] of kinds) {
    it(`give an InferenceError or a valid ${name}, wherever they are cut off`, () => {
      for (const message of messages) {
        for (let length = 0; length <= message.length; length++) attempt(message.subarray(0, length));
      }
    });

    it(`give an InferenceError or a valid ${name}, after any of ${MUTATIONS} mutations`, (context) => {
      context.diagnostic(`seed ${SEED}`);
      const roll = dice(SEED);
      const seen = { valid: 0, refused: 0 };
      for (let i = 0; i < MUTATIONS; i++) {
        const bytes = mutate(messages[roll(messages.length)] ?? Buffer.alloc(0), roll);
        try {
          seen[attempt(bytes)]++;
        } catch (error) {
          throw new Error(`mutation ${i} of seed ${SEED}: ${bytes.toString("hex")}`, { cause: error });
        }
      }
      // A mutator that only makes rubbish, or nothing bad, would test little.
      assert.ok(seen.valid > MUTATIONS / 20 && seen.refused > MUTATIONS / 20, JSON.stringify(seen));
    });
  }
});
