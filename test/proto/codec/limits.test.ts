import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeInferRequest, readInferRequest } from "../../../proto/codec/decode-request.ts";
import { decodeInferResponse } from "../../../proto/codec/decode-response.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { TRITON_LIMITS, type WireLimits } from "../../../proto/limits.ts";
import { WireReader } from "../../../proto/wire/reader.ts";
import { field, varintField } from "./wire-bytes.ts";

const TINY: WireLimits = {
  maxInputs: 3,
  maxOutputs: 3,
  maxRawTensors: 3,
  maxParameters: 3,
  maxParameterKeyBytes: 3,
  maxModelNameBytes: 4,
  maxRequestIdBytes: 5,
  maxStringBytes: 6,
  maxDims: 3,
  maxContentsPieces: 3,
  maxFields: 20,
};

const repeat = (count: number, bytes: (i: number) => Uint8Array) => Array.from({ length: count }, (_, i) => bytes(i));
const joined = (count: number, bytes: (i: number) => Uint8Array) => Buffer.concat(repeat(count, bytes));
const text = (length: number) => "x".repeat(length);
const trueParameter = field(2, varintField(1, 1));
const parameter = (number: number, key: string) => field(number, field(1, key), trueParameter);

/** Each limit with a message of any size about it, and what names it in the refusal of one too large. */
const cases: [limit: keyof WireLimits, message: (size: number) => Buffer, refusal: string][] = [
  ["maxInputs", (size) => joined(size, () => field(5)), "inputs has at least 4 entries; the limit is 3"],
  ["maxOutputs", (size) => joined(size, () => field(6)), "outputs has at least 4 entries; the limit is 3"],
  [
    "maxRawTensors",
    (size) => joined(size, () => field(7)),
    "raw_input_contents has at least 4 entries; the limit is 3",
  ],
  [
    "maxParameters",
    (size) => joined(size, (i) => parameter(4, `${i}`)),
    "parameters has at least 4 entries; the limit is 3",
  ],
  [
    "maxParameters",
    (size) => Buffer.concat([field(5), field(5, ...repeat(size, (i) => parameter(4, `${i}`)))]),
    "inputs[1].parameters has at least 4 entries; the limit is 3",
  ],
  [
    "maxParameters",
    (size) => field(6, ...repeat(size, (i) => parameter(2, `${i}`))),
    "outputs[0].parameters has at least 4 entries; the limit is 3",
  ],
  ["maxParameterKeyBytes", (size) => parameter(4, text(size)), "parameters key is 4 bytes long; the limit is 3"],
  ["maxModelNameBytes", (size) => field(1, text(size)), "model_name is 5 bytes long; the limit is 4"],
  ["maxRequestIdBytes", (size) => field(3, text(size)), "id is 6 bytes long; the limit is 5"],
  ["maxStringBytes", (size) => field(2, text(size)), "model_version is 7 bytes long; the limit is 6"],
  ["maxStringBytes", (size) => field(5, field(1, text(size))), "inputs[0].name is 7 bytes long; the limit is 6"],
  ["maxStringBytes", (size) => field(5, field(2, text(size))), "inputs[0].datatype is 7 bytes long; the limit is 6"],
  ["maxStringBytes", (size) => field(6, field(1, text(size))), "outputs[0].name is 7 bytes long; the limit is 6"],
  [
    "maxStringBytes",
    (size) => field(4, field(1, "k"), field(2, field(3, text(size)))),
    "parameters value is 7 bytes long; the limit is 6",
  ],
  [
    "maxDims",
    (size) => field(5, field(3, Buffer.alloc(size, 1))),
    "inputs[0].shape has at least 4 entries; the limit is 3",
  ],
  [
    "maxDims",
    (size) => field(5, ...repeat(size, () => varintField(3, 1))),
    "inputs[0].shape has at least 4 entries; the limit is 3",
  ],
  [
    "maxContentsPieces",
    (size) => field(5, ...repeat(size, () => field(5))),
    "inputs[0].contents has at least 4 entries; the limit is 3",
  ],
  ["maxFields", (size) => joined(size, () => field(1)), "ModelInferRequest has at least 21 fields; the limit is 20"],
  [
    "maxFields",
    (size) => joined(size, () => varintField(99, 1)),
    "ModelInferRequest has at least 21 fields; the limit is 20",
  ],
];

describe("the wire limits", () => {
  for (const [limit, message, refusal] of cases) {
    it(`hold at ${limit} and refuse one more: ${refusal}`, () => {
      decodeInferRequest(message(TINY[limit]), TINY);
      assert.throws(
        () => decodeInferRequest(message(TINY[limit] + 1), TINY),
        (error) => error instanceof InferenceError && error.code === "INVALID_ARGUMENT" && error.message === refusal,
      );
      decodeInferRequest(message(TINY[limit] + 1), TRITON_LIMITS);
    });
  }

  it("leave no limit untested", () => {
    assert.deepEqual(new Set(cases.map(([limit]) => limit)), new Set(Object.keys(TINY)));
  });

  it("count a parameter given again once", () => {
    const again = joined(4, () => parameter(4, "k"));
    assert.equal(decodeInferRequest(again, TINY).parameters.size, 1);
  });

  it("hold for responses, where they are the server's fault", () => {
    for (const [bytes, refusal] of [
      [joined(4, () => field(5)), "outputs has at least 4 entries; the limit is 3"],
      [joined(4, () => field(6)), "raw_output_contents has at least 4 entries; the limit is 3"],
      [joined(21, () => field(1)), "ModelInferResponse has at least 21 fields; the limit is 20"],
    ] as const) {
      assert.throws(
        () => decodeInferResponse(bytes, TINY),
        (error) => error instanceof InferenceError && error.code === "INTERNAL" && error.message === refusal,
      );
    }
  });
});

describe("a legal message of 4 MiB", () => {
  const BYTES = 4_194_304;

  /** Fields scanned until the message was refused, and the text. */
  function refusedAfter(bytes: Uint8Array): { fields: number; position: number; message: string } {
    const reader = new WireReader(bytes, { subject: "ModelInferRequest", maxFields: TRITON_LIMITS.maxFields });
    try {
      readInferRequest(reader, TRITON_LIMITS);
    } catch (error) {
      assert.ok(error instanceof InferenceError);
      assert.equal(error.code, "INVALID_ARGUMENT");
      return { fields: reader.fields, position: reader.position, message: error.message };
    }
    assert.fail("the message was accepted");
  }

  /** The same two bytes over and over: a tag and a length or value. */
  const pairs = (tag: number, value = 0) => Buffer.alloc(BYTES, Buffer.from([tag, value]));

  for (const [list, tag] of [
    ["inputs", 0x2a],
    ["outputs", 0x32],
    ["raw_input_contents", 0x3a],
  ] as const) {
    it(`of 2,097,152 empty ${list} is refused after the limit`, () => {
      const { fields, position, message } = refusedAfter(pairs(tag));
      assert.equal(message, `${list} has at least 1025 entries; the limit is 1024`);
      assert.equal(fields, 1_025);
      assert.ok(position <= 2 * 1_025);
    });
  }

  it("of a shape of 4 M dimensions is refused after the limit", () => {
    const { position, message } = refusedAfter(field(5, field(3, Buffer.alloc(BYTES, 1))));
    assert.equal(message, "inputs[0].shape has at least 17 entries; the limit is 16");
    assert.ok(position < 64);
  });

  it("of 349,525 different parameters is refused after the limit", () => {
    const { fields, message } = refusedAfter(joined(349_525, (i) => parameter(4, i.toString(36))));
    assert.equal(message, "parameters has at least 257 entries; the limit is 256");
    // An entry, its key, its value and the member of the oneof.
    assert.equal(fields, 4 * 257);
  });

  it("of unknown or repeated fields is refused after the limit", () => {
    for (const bytes of [pairs(0x0a), pairs(0x78), field(5, pairs(0x0a)), field(6, field(2, pairs(0x78)))]) {
      const { fields, message } = refusedAfter(bytes);
      assert.equal(message, "ModelInferRequest has at least 262145 fields; the limit is 262144");
      assert.equal(fields, 262_145);
    }
  });

  it("of one raw tensor is read in four fields", () => {
    const bytes = Buffer.concat([field(1, "m"), field(5, field(1, "x")), field(7, Buffer.alloc(BYTES))]);
    const reader = new WireReader(bytes, { subject: "ModelInferRequest" });
    assert.equal(readInferRequest(reader, TRITON_LIMITS).rawInputContents[0]?.byteLength, BYTES);
    assert.equal(reader.fields, 4);
  });
});
