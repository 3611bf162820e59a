import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decodeInferRequest } from "../../../proto/codec/decode-request.ts";
import { decodeInferResponse, decodeStreamResponse } from "../../../proto/codec/decode-response.ts";
import { encodeInferRequest } from "../../../proto/codec/encode-request.ts";
import { InferResponseMessage, StreamResponseMessage, toBytes } from "../../../proto/codec/encode-response.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { type InferenceRequest, type InferenceResponse, NO_PARAMETERS } from "../../../proto/inference.ts";
import { TRITON_LIMITS } from "../../../proto/limits.ts";
import { plainTensors, requests, responses, texts } from "./messages.ts";

const plainRequest = (request: InferenceRequest) => ({
  ...request,
  parameters: [...request.parameters],
  inputs: plainTensors(request.inputs),
  requestedOutputs: request.requestedOutputs.map(({ name, parameters }) => ({ name, parameters: [...parameters] })),
});
const plainResponse = (response: InferenceResponse) => ({
  ...response,
  parameters: [...response.parameters],
  outputs: plainTensors(response.outputs),
});

describe("the codec", () => {
  it("decodes the requests that it encodes", () => {
    fc.assert(
      fc.property(requests, (request) => {
        const wire = decodeInferRequest(encodeInferRequest(request), TRITON_LIMITS);
        assert.ok(wire.inputs.every((input) => input.contents.length === 0 && input.parameters === NO_PARAMETERS));
        const { rawInputContents, ...rest } = wire;
        const inputs = request.inputs.map(({ datatype }, i) => {
          assert.equal(wire.inputs[i]?.datatype, datatype);
          return {
            name: wire.inputs[i].name,
            datatype,
            shape: wire.inputs[i].shape,
            data: rawInputContents[i] ?? new Uint8Array(),
          };
        });
        assert.deepEqual(plainRequest({ ...rest, inputs }), plainRequest(request));
      }),
      { numRuns: 300 },
    );
  });

  it("decodes the responses that it encodes", () => {
    fc.assert(
      fc.property(responses, (response) => {
        const decoded = decodeInferResponse(toBytes(new InferResponseMessage(response)));
        assert.deepEqual(plainResponse(decoded), plainResponse(response));
      }),
      { numRuns: 300 },
    );
  });

  it("decodes the stream messages that it encodes", () => {
    fc.assert(
      fc.property(texts, responses, (errorMessage, response) => {
        const decoded = decodeStreamResponse(toBytes(new StreamResponseMessage(errorMessage, response)));
        assert.equal(decoded.errorMessage, errorMessage);
        assert.deepEqual(plainResponse(decoded.response), plainResponse(response));
      }),
    );
  });

  it("leaves the data of a request where it arrived", () => {
    const data = Buffer.from("sixteen bytes ok");
    const bytes = encodeInferRequest({
      modelName: "m",
      modelVersion: "",
      id: "",
      parameters: NO_PARAMETERS,
      inputs: [{ name: "x", datatype: "FP32", shape: [4], data }],
      requestedOutputs: [],
    });
    const view = decodeInferRequest(bytes, TRITON_LIMITS).rawInputContents[0];
    assert.equal(view?.buffer, bytes.buffer);
    assert.equal(view?.byteOffset, bytes.byteOffset + bytes.indexOf(data));
  });

  it("shares one empty map among messages without parameters", () => {
    assert.equal(decodeInferRequest(Buffer.alloc(0), TRITON_LIMITS).parameters, NO_PARAMETERS);
    assert.equal(decodeInferResponse(Buffer.alloc(0)).parameters, NO_PARAMETERS);
  });

  it("refuses to encode a response beyond gRPC's size limit", () => {
    // A length without the memory: the encoder must refuse before it reads.
    const data = Object.defineProperty(new Uint8Array(0), "byteLength", { value: 2 ** 31 });
    assert.throws(
      () =>
        toBytes(
          new InferResponseMessage({
            modelName: "",
            modelVersion: "",
            id: "",
            parameters: NO_PARAMETERS,
            outputs: [{ name: "", datatype: "UINT8", shape: [], data }],
          }),
        ),
      (error) =>
        error instanceof InferenceError &&
        error.code === "INVALID_ARGUMENT" &&
        error.message === "Response has byte size 2147483663 which exceeds gRPC's byte size limit 2147483647.",
    );
  });
});
