import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeInferRequest } from "../../../proto/codec/decode-request.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { TRITON_LIMITS } from "../../../proto/limits.ts";
import { bigIntSize, WireWriter } from "../../../proto/wire/writer.ts";
import { field, varintField } from "./wire-bytes.ts";

const decode = (...parts: Uint8Array[]) => decodeInferRequest(Buffer.concat(parts), TRITON_LIMITS);

function refuses(message: string, ...parts: Uint8Array[]): void {
  assert.throws(
    () => decode(...parts),
    (error) => {
      assert.ok(error instanceof InferenceError);
      assert.equal(error.message, message);
      assert.equal(error.code, "INVALID_ARGUMENT");
      return true;
    },
  );
}

/** Any 64-bit integer as a varint. */
function varint64(value: bigint): Buffer {
  const writer = WireWriter.ofSize(bigIntSize(value));
  writer.bigInt(value);
  return writer.bytes;
}

const parameter = (key: string, ...value: Uint8Array[]) => field(4, field(1, key), field(2, ...value));

describe("decodeInferRequest", () => {
  it("reads an empty message as an empty request", () => {
    const { parameters, ...rest } = decode();
    assert.equal(parameters.size, 0);
    assert.deepEqual(rest, {
      modelName: "",
      modelVersion: "",
      id: "",
      inputs: [],
      requestedOutputs: [],
      rawInputContents: [],
    });
  });

  it("lets the last of several values count", () => {
    const request = decode(field(1, "a"), field(1, "b"), field(5, field(1, "x"), field(1, "y")), field(1, "c"));
    assert.equal(request.modelName, "c");
    assert.equal(request.inputs[0]?.name, "y");
  });

  it("reads shapes packed, unpacked and mixed", () => {
    const shape = [field(3, Buffer.from([1, 2])), varintField(3, 3), field(3), field(3, Buffer.from([0x80, 1]))];
    assert.deepEqual(decode(field(5, ...shape)).inputs[0]?.shape, [1, 2, 3, 128]);
  });

  it("reads negative dimensions, which are for the model to refuse", () => {
    const dims = [-1n, -(2n ** 31n), -(2n ** 53n) + 1n, 2n ** 53n - 1n];
    const { inputs } = decode(field(5, field(3, ...dims.map(varint64))));
    assert.deepEqual(inputs[0]?.shape, dims.map(Number));
  });

  it("refuses dimensions beyond 2^53 with the whole shape", () => {
    for (const dim of [2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)]) {
      const message = `tensor 'x' contains an invalid dimension [2,${dim},-1]`;
      const shape = [varintField(3, 2), field(3, varint64(dim), varint64(-1n))];
      refuses(message, field(5, field(1, "x"), ...shape));
      refuses(message, field(5, ...shape, field(1, "x")));
    }
  });

  it("keeps split contents together and tells absent from empty ones", () => {
    const { inputs } = decode(field(5), field(5, field(5)), field(5, field(5, "ab"), field(5), field(5, "c")));
    assert.deepEqual(
      inputs.map(({ contents }) => contents.map((piece) => Buffer.from(piece).toString())),
      [[], [""], ["ab", "", "c"]],
    );
  });

  it("reads every kind of parameter, and of several values the last", () => {
    const { parameters } = decode(
      parameter("bool", varintField(1, 0)),
      parameter("int64", Buffer.from([2 << 3]), varint64(-(2n ** 63n))),
      parameter("string", field(3)),
      parameter("double", Buffer.from([(4 << 3) | 1, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f])),
      parameter("uint64", Buffer.from([5 << 3]), varint64(2n ** 64n - 1n)),
      parameter("oneof", field(3, "text"), varintField(1, 1)),
      field(4, field(1, "merged"), field(2, varintField(1, 1)), field(2), field(2, field(3, "last"))),
      parameter("again", varintField(1, 1)),
      parameter("again", varintField(1, 0)),
    );
    assert.deepEqual(Object.fromEntries(parameters), {
      bool: { kind: "bool", value: false },
      int64: { kind: "int64", value: -(2n ** 63n) },
      string: { kind: "string", value: "" },
      double: { kind: "double", value: 1.5 },
      uint64: { kind: "uint64", value: 2n ** 64n - 1n },
      oneof: { kind: "bool", value: true },
      merged: { kind: "string", value: "last" },
      again: { kind: "bool", value: false },
    });
  });

  it("reads a map entry without a key as one of the key ''", () => {
    assert.deepEqual([...decode(field(4, field(2, varintField(1, 1)))).parameters.keys()], [""]);
  });

  it("refuses parameters without a value", () => {
    const message = "invalid value type for 'k' parameter, expected int64_param, bool_param, or string_param.";
    refuses(message, field(4, field(1, "k")));
    refuses(message, field(4, field(1, "k"), field(2)));
    refuses(message, field(4, field(1, "k"), field(2, varintField(9, 1))));
    refuses(message, field(5, field(4, field(1, "k"))));
    refuses(message, field(6, field(2, field(1, "k"))));
  });

  it("keeps keys that are names of an object's own machinery", () => {
    const keys = ["__proto__", "constructor", "toString", "hasOwnProperty"];
    const { parameters } = decode(...keys.map((key) => parameter(key, field(3, key))));
    assert.deepEqual([...parameters.keys()], keys);
    assert.deepEqual(parameters.get("__proto__"), { kind: "string", value: "__proto__" });
    assert.equal(Object.hasOwn(Object.prototype, "kind"), false);
  });

  it("skips unknown fields, and known ones of another wire type, at every level", () => {
    const unknown = [varintField(1, 5), field(99, "?"), Buffer.from([(14 << 3) | 5, 1, 2, 3, 4, (15 << 3) | 1])];
    const noise = Buffer.concat([...unknown, Buffer.alloc(8)]);
    const request = decode(
      noise,
      field(4, field(1, "k"), noise, field(2, field(1, "?"), varintField(2, 7), field(9)), noise),
      field(5, noise, field(1, "x"), noise),
      field(6, noise, field(1, "o"), noise),
    );
    assert.equal(request.modelName, "");
    assert.deepEqual(request.parameters.get("k"), { kind: "int64", value: 7n });
    assert.equal(request.inputs[0]?.name, "x");
    assert.equal(request.requestedOutputs[0]?.name, "o");
  });

  it("refuses strings that are not UTF-8 and says which", () => {
    const bad = Buffer.from([0x61, 0xff]);
    refuses("model_name is not valid UTF-8", field(1, bad));
    refuses("model_version is not valid UTF-8", field(2, bad));
    refuses("id is not valid UTF-8", field(3, bad));
    refuses("parameters key is not valid UTF-8", field(4, field(1, bad)));
    refuses("parameters value is not valid UTF-8", parameter("k", field(3, bad)));
    refuses("inputs[1].name is not valid UTF-8", field(5), field(5, field(1, bad)));
    refuses("inputs[0].datatype is not valid UTF-8", field(5, field(2, bad)));
    refuses("outputs[0].name is not valid UTF-8", field(6, field(1, bad)));
  });

  it("refuses groups and cut off messages", () => {
    refuses(
      "malformed ModelInferRequest: field 8 has wire type 3, which is not supported (near byte 1)",
      Buffer.from([(8 << 3) | 3, (8 << 3) | 4]),
    );
    refuses("malformed ModelInferRequest: a field is cut off (near byte 2)", Buffer.from([(1 << 3) | 2, 5]));
    const nestedTooLong = field(5, Buffer.from([(1 << 3) | 2, 9]), Buffer.from("x"));
    refuses("malformed ModelInferRequest: a field is cut off (near byte 4)", nestedTooLong, field(1, "long enough"));
  });
});
