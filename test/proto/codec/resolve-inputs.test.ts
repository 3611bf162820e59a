import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { toInferenceRequest } from "../../../proto/codec/resolve-inputs.ts";
import type { WireInferRequest, WireTensor } from "../../../proto/codec/wire-request.ts";
import { type ErrorCode, InferenceError } from "../../../proto/errors.ts";
import { NO_PARAMETERS, type Parameter, type Parameters } from "../../../proto/inference.ts";
import { field, varintField } from "./wire-bytes.ts";

const input = (overrides: Partial<WireTensor> = {}): WireTensor => ({
  name: "X",
  datatype: "FP32",
  shape: [1],
  parameters: NO_PARAMETERS,
  contents: [],
  ...overrides,
});
const wire = (overrides: Partial<WireInferRequest> = {}): WireInferRequest => ({
  modelName: "M",
  modelVersion: "3",
  id: "7",
  parameters: NO_PARAMETERS,
  inputs: [],
  requestedOutputs: [],
  rawInputContents: [],
  ...overrides,
});
const raw = (...bytes: number[]) => Uint8Array.from(bytes);
const parameters = (entries: Record<string, Parameter>): Parameters => new Map(Object.entries(entries));
const string = (value: string): Parameter => ({ kind: "string", value });
const int64 = (value: bigint): Parameter => ({ kind: "int64", value });

const expectedDatatype = (name: string) => (name === "X" ? "FP16" : undefined);

function refuses(request: WireInferRequest, message: string, code: ErrorCode = "INVALID_ARGUMENT"): void {
  assert.throws(
    () => toInferenceRequest(request, expectedDatatype),
    (error) => {
      assert.ok(error instanceof InferenceError);
      assert.equal(error.message, message);
      assert.equal(error.code, code);
      return true;
    },
  );
}

const FP32_CONTENTS = [field(6, Buffer.alloc(4))];
const FP64_CONTENTS = [field(7, Buffer.alloc(8))];
const REGION = { shared_memory_region: string("r"), shared_memory_byte_size: int64(4n) };
const DISABLED = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.";

describe("toInferenceRequest", () => {
  it("hands raw contents to the inputs in their order and ignores those left over", () => {
    const first = raw(1, 2, 3, 4);
    const second = raw(5);
    const request = toInferenceRequest(
      wire({
        inputs: [input(), input({ name: "Y", datatype: "BYTES", shape: [2, 3] })],
        rawInputContents: [first, second, raw(6)],
        requestedOutputs: [{ name: "O", parameters: NO_PARAMETERS }],
      }),
      expectedDatatype,
    );
    assert.deepEqual(request, {
      modelName: "M",
      modelVersion: "3",
      id: "7",
      parameters: NO_PARAMETERS,
      inputs: [
        { name: "X", datatype: "FP32", shape: [1], data: first },
        { name: "Y", datatype: "BYTES", shape: [2, 3], data: second },
      ],
      requestedOutputs: [{ name: "O", parameters: NO_PARAMETERS }],
    });
    assert.equal(request.inputs[0]?.data, first);
  });

  it("takes typed contents, also such without any element", () => {
    const inputs = [
      input({ contents: FP32_CONTENTS }),
      input({ name: "Y", datatype: "UINT8", contents: [varintField(4, 0xff, 1)] }),
      input({ name: "Z", datatype: "FP16", shape: [0], contents: [Buffer.alloc(0)] }),
    ];
    const request = toInferenceRequest(wire({ inputs }), expectedDatatype);
    assert.deepEqual(
      request.inputs.map(({ data }) => [...data]),
      [[0, 0, 0, 0], [255], []],
    );
  });

  it("refuses names given twice", () => {
    const twice = [input(), input({ name: "Y" }), input()];
    const rawInputContents = [raw(1), raw(1), raw(1)];
    refuses(wire({ inputs: twice, rawInputContents }), "[request id: 7] input 'X' already exists in request");
    refuses(wire({ inputs: twice, id: "" }), "[request id: <id_unknown>] input 'X' already exists in request");
    const output = { name: "O", parameters: NO_PARAMETERS };
    refuses(wire({ requestedOutputs: [output, output] }), "[request id: 7] output 'O' already exists in request");
  });

  it("refuses an input without data", () => {
    const message = "unable to find data for input tensor 'Y' for model 'M' in request.";
    refuses(wire({ inputs: [input({ name: "Y" })] }), message);
    refuses(wire({ inputs: [input(), input({ name: "Y" })], rawInputContents: [raw(1)] }), message);
  });

  it("refuses typed contents beside raw ones, of another datatype or of two", () => {
    const unexpected = "unexpected explicit tensor data for input tensor 'X' for model 'M'";
    refuses(
      wire({ inputs: [input({ contents: FP32_CONTENTS })], rawInputContents: [raw(1)] }),
      "contents field must not be specified when using raw_input_contents for 'X' for model 'M'",
    );
    refuses(
      wire({ inputs: [input({ datatype: "FP16", contents: FP32_CONTENTS })] }),
      `${unexpected} of type 'FP32', expected datatype 'FP16'`,
    );
    refuses(
      wire({ inputs: [input({ datatype: "FP99", contents: FP32_CONTENTS })] }),
      `${unexpected} of type 'FP32', expected datatype '<invalid>'`,
    );
    refuses(
      wire({ inputs: [input({ datatype: "BOOL", contents: [varintField(2, 1)] })] }),
      `${unexpected} of type 'INT32', expected datatype 'BOOL'`,
    );
    refuses(
      wire({ inputs: [input({ contents: [...FP64_CONTENTS, ...FP32_CONTENTS] })] }),
      `${unexpected}, binary data was already supplied.`,
    );
  });

  it("names the input whose contents are malformed", () => {
    refuses(
      wire({ inputs: [input({ contents: [field(6, Buffer.alloc(5))] })] }),
      "malformed contents of input 'X': packed numbers are cut off (near byte 7)",
    );
  });

  it("names an unknown datatype as the model would, once everything before it is right", () => {
    const inputs = [input({ datatype: "float" })];
    refuses(
      wire({ inputs, rawInputContents: [raw()] }),
      "[request id: 7] inference input 'X' data-type is '<invalid>', but model 'M' expects 'FP16'",
    );
    refuses(wire({ inputs }), "unable to find data for input tensor 'X' for model 'M' in request.");
    refuses(
      wire({ inputs: [input({ name: "Q", datatype: "__proto__" })], rawInputContents: [raw()] }),
      "unexpected inference input 'Q' for model 'M'",
    );
  });

  it("refuses shared memory with Triton's texts", () => {
    const shared = (entries: Record<string, Parameter>, rest: Partial<WireTensor> = {}) =>
      wire({ inputs: [input({ parameters: parameters(entries), ...rest })] });
    refuses(shared(REGION), DISABLED, "UNIMPLEMENTED");
    refuses(
      shared(REGION, { contents: FP32_CONTENTS }),
      "unexpected 'content' provided when using shared memory for input tensor 'X' for model 'M'",
    );
    refuses(
      shared({ ...REGION, shared_memory_region: int64(1n) }),
      "invalid value type for 'shared_memory_region' parameter for tensor 'X', expected string_param.",
    );
    refuses(
      shared({ ...REGION, shared_memory_offset: string("1") }),
      "invalid value type for 'shared_memory_offset' parameter for tensor 'X', expected int64_param.",
    );
    refuses(
      shared({ shared_memory_region: string("r") }),
      "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor 'X'",
    );
    for (const key of ["shared_memory_offset", "shared_memory_byte_size"]) {
      refuses(
        shared({ [key]: int64(1n) }),
        `'${key}' can not be specified without 'shared_memory_region' parameter for tensor 'X'`,
      );
    }
  });

  it("refuses output parameters that it would have to ignore", () => {
    const output = (entries: Record<string, Parameter>) =>
      wire({ requestedOutputs: [{ name: "O", parameters: parameters(entries) }] });
    refuses(output(REGION), DISABLED, "UNIMPLEMENTED");
    refuses(
      output({ classification: string("1") }),
      "invalid value type for 'classification' parameter, expected int64_param",
    );
    refuses(output({ classification: int64(0n) }), "invalid value for 'classification' parameter, expected >= 0");
    refuses(
      output({ ...REGION, classification: int64(1n) }),
      "output can't set both 'shared_memory_region' and 'classification'",
    );
    refuses(
      output({ classification: int64(1n) }),
      "the classification extension is not served: ask for output 'O' without 'classification'",
      "UNIMPLEMENTED",
    );
  });

  it("keeps parameters that mean nothing to it", () => {
    const odd = parameters({ __proto__x: string("a"), constructor: int64(1n) });
    const request = toInferenceRequest(
      wire({
        inputs: [input({ parameters: odd })],
        rawInputContents: [raw(1)],
        requestedOutputs: [{ name: "O", parameters: odd }],
      }),
      expectedDatatype,
    );
    assert.equal(request.requestedOutputs[0]?.parameters, odd);
  });
});
