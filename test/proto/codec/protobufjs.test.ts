import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decodeInferRequest } from "../../../proto/codec/decode-request.ts";
import { decodeInferResponse } from "../../../proto/codec/decode-response.ts";
import { encodeInferRequest } from "../../../proto/codec/encode-request.ts";
import { InferResponseMessage, StreamResponseMessage, toBytes } from "../../../proto/codec/encode-response.ts";
import { contentsDatatype, contentsToRaw, countContents } from "../../../proto/codec/typed-contents.ts";
import type { WireInferRequest, WireTensor } from "../../../proto/codec/wire-request.ts";
import { InferenceError } from "../../../proto/errors.ts";
import type { Parameter, Parameters } from "../../../proto/inference.ts";
import { TRITON_LIMITS } from "../../../proto/limits.ts";
import { loadDescriptors } from "../../../proto/load.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { contentsMessages, int64s, parameterMaps, requests, responses, texts } from "./messages.ts";
import { dice, mutate } from "./mutations.ts";

const root = loadDescriptors();
const ModelInferRequest = root.lookupType("inference.ModelInferRequest");
const ModelInferResponse = root.lookupType("inference.ModelInferResponse");
const ModelStreamInferResponse = root.lookupType("inference.ModelStreamInferResponse");
const InferTensorContents = root.lookupType("inference.InferTensorContents");

type Message = Record<string, unknown>;

/** A decoded message as plain values: 64-bit integers as texts, bytes as base64, empty lists and maps filled in. */
function plain(type: typeof ModelInferRequest, bytes: Uint8Array): Message {
  const options = { longs: String, bytes: String, arrays: true, objects: true, defaults: true, oneofs: false };
  return type.toObject(type.decode(bytes), options);
}

function parameterMessage(parameter: Parameter): Message {
  return {
    [`${parameter.kind}_param`]: typeof parameter.value === "bigint" ? String(parameter.value) : parameter.value,
  };
}

/** As protobufjs has maps: `__proto__` is the one key that its plain objects cannot hold. */
function parametersMessage(parameters: Parameters): Message {
  const entries = [...parameters].filter(([key]) => key !== "__proto__");
  return Object.fromEntries(entries.map(([key, parameter]) => [key, parameterMessage(parameter)]));
}

const withoutProto = (parameters: Parameters): Parameters =>
  new Map([...parameters].filter(([key]) => key !== "__proto__"));

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

const tensorMessage = (tensor: Tensor): Message => ({
  name: tensor.name,
  datatype: tensor.datatype,
  shape: tensor.shape.map(String),
  parameters: {},
  contents: null,
});

describe("protobufjs", () => {
  it("reads the requests that we write", () => {
    fc.assert(
      fc.property(requests, (request) => {
        const parameters = withoutProto(request.parameters);
        const requestedOutputs = request.requestedOutputs.map((output) => ({
          ...output,
          parameters: withoutProto(output.parameters),
        }));
        const read = plain(ModelInferRequest, encodeInferRequest({ ...request, parameters, requestedOutputs }));
        assert.deepEqual(read, {
          model_name: request.modelName,
          model_version: request.modelVersion,
          id: request.id,
          parameters: parametersMessage(parameters),
          inputs: request.inputs.map(tensorMessage),
          outputs: requestedOutputs.map((output) => ({
            name: output.name,
            parameters: parametersMessage(output.parameters),
          })),
          raw_input_contents: request.inputs.map((input) => base64(input.data)),
        });
      }),
    );
  });

  it("reads the responses that we write", () => {
    fc.assert(
      fc.property(texts, responses, (errorMessage, given) => {
        const response = { ...given, parameters: withoutProto(given.parameters) };
        const expected = {
          model_name: response.modelName,
          model_version: response.modelVersion,
          id: response.id,
          parameters: parametersMessage(response.parameters),
          outputs: response.outputs.map(tensorMessage),
          raw_output_contents: response.outputs.map((output) => base64(output.data)),
        };
        assert.deepEqual(plain(ModelInferResponse, toBytes(new InferResponseMessage(response))), expected);
        assert.deepEqual(plain(ModelStreamInferResponse, toBytes(new StreamResponseMessage(errorMessage, response))), {
          error_message: errorMessage,
          infer_response: expected,
        });
      }),
    );
  });

  const inputMessages = fc.record(
    {
      name: texts,
      datatype: texts,
      shape: fc.array(fc.maxSafeInteger(), { maxLength: 16 }),
      parameters: parameterMaps.map(parametersMessage),
      contents: contentsMessages,
    },
    { requiredKeys: [] },
  );
  const requestMessages = fc.record(
    {
      model_name: texts,
      model_version: texts,
      id: texts,
      parameters: parameterMaps.map(parametersMessage),
      inputs: fc.array(inputMessages, { maxLength: 4 }),
      outputs: fc.array(fc.record({ name: texts, parameters: parameterMaps.map(parametersMessage) }), { maxLength: 4 }),
      raw_input_contents: fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }),
    },
    { requiredKeys: [] },
  );

  it("writes requests that we read alike", () => {
    fc.assert(
      fc.property(requestMessages, (message) => {
        const bytes = ModelInferRequest.encode(ModelInferRequest.fromObject(message)).finish();
        const wire = decodeInferRequest(bytes, TRITON_LIMITS);
        assert.deepEqual(wireRequestMessage(wire), plain(ModelInferRequest, bytes));
      }),
      { numRuns: 300 },
    );
  });

  it("reads damaged requests as we do wherever we accept them", () => {
    const parameters = { a: { int64_param: "-5" }, b: { uint64_param: "9" }, c: { string_param: "ä" } };
    const contents = { int_contents: [1, 300], fp32_contents: [1], bytes_contents: [Buffer.from("ab")] };
    const message = Buffer.from(
      ModelInferRequest.encode(
        ModelInferRequest.fromObject({
          model_name: "m",
          id: "4",
          parameters,
          inputs: [
            { name: "X", datatype: "FP32", shape: [1, 300], parameters },
            { name: "Y", datatype: "INT32", shape: [-1], contents },
          ],
          outputs: [{ name: "O", parameters }],
          raw_input_contents: [Buffer.alloc(8, 3)],
        }),
      ).finish(),
    );
    const roll = dice(5);
    let accepted = 0;
    for (let i = 0; i < 3_000; i++) {
      const bytes = mutate(message, roll);
      const wire = acceptedRequest(bytes);
      if (wire === undefined) continue;
      accepted++;
      assert.deepEqual(wireRequestMessage(wire), plain(ModelInferRequest, bytes), bytes.toString("hex"));
    }
    assert.ok(accepted > 300, `${accepted}`);
  });

  /** The request, or undefined where we refuse it or its typed contents, which are decoded later. */
  function acceptedRequest(bytes: Buffer): WireInferRequest | undefined {
    try {
      const wire = decodeInferRequest(bytes, TRITON_LIMITS);
      for (const { contents } of wire.inputs) {
        const counted = countContents(contents, { subject: "contents" });
        for (let number = 1; number <= 8; number++) contentsToRaw(counted, number, contentsDatatype(number, ""));
      }
      return wire;
    } catch (error) {
      if (error instanceof InferenceError) return undefined;
      throw error;
    }
  }

  function wireRequestMessage(wire: WireInferRequest): Message {
    return {
      model_name: wire.modelName,
      model_version: wire.modelVersion,
      id: wire.id,
      parameters: parametersMessage(wire.parameters),
      inputs: wire.inputs.map(wireTensorMessage),
      outputs: wire.requestedOutputs.map((output) => ({
        name: output.name,
        parameters: parametersMessage(output.parameters),
      })),
      raw_input_contents: wire.rawInputContents.map(base64),
    };
  }

  function wireTensorMessage(tensor: WireTensor): Message {
    return {
      name: tensor.name,
      datatype: tensor.datatype,
      shape: tensor.shape.map(String),
      parameters: parametersMessage(tensor.parameters),
      contents: tensor.contents.length === 0 ? null : plain(InferTensorContents, Buffer.concat(tensor.contents)),
    };
  }

  it("writes typed responses that we read as raw ones", () => {
    const elements = fc.array(int64s, { maxLength: 50 });
    fc.assert(
      fc.property(elements, (values) => {
        const message = {
          model_name: "m",
          outputs: [{ name: "y", datatype: "INT64", shape: [1], contents: { int64_contents: values.map(String) } }],
        };
        const bytes = ModelInferResponse.encode(ModelInferResponse.fromObject(message)).finish();
        const data = decodeInferResponse(bytes).outputs[0]?.data;
        assert.deepEqual(data, new Uint8Array(BigInt64Array.from(values).buffer));
      }),
    );
  });
});
