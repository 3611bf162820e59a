import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { contentsDatatype, contentsToRaw, countContents } from "../../../proto/codec/typed-contents.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { loadDescriptors } from "../../../proto/load.ts";
import { contentsMessages } from "./messages.ts";
import { field, varint, varintField } from "./wire-bytes.ts";

const InferTensorContents = loadDescriptors().lookupType("inference.InferTensorContents");
const encode = (message: Record<string, unknown>): Buffer =>
  Buffer.from(InferTensorContents.encode(InferTensorContents.fromObject(message)).finish());

/** The one filled field as raw bytes of the datatype. */
function toRaw(datatype: string, ...pieces: Uint8Array[]): Buffer {
  const counted = countContents(pieces, { subject: "contents" });
  const filled = counted.counts.findIndex((count) => count > 0);
  assert.ok(filled > 0);
  return Buffer.from(contentsToRaw(counted, filled, contentsDatatype(filled, datatype)));
}

const raw = (array: { readonly buffer: ArrayBufferLike }): Buffer => Buffer.from(array.buffer);

describe("typed contents", () => {
  const int32s = [0, 1, -1, 127, 128, 255, 256, -32768, 65535, 2 ** 31 - 1, -(2 ** 31)];
  const uint32s = [0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1];
  const int64s = [0n, 1n, -1n, 2n ** 32n, -(2n ** 53n) - 1n, 2n ** 63n - 1n, -(2n ** 63n)];
  const uint64s = [0n, 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n];
  const doubles = [0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.MIN_VALUE, Number.MAX_VALUE];
  const cases: [datatype: string, message: Record<string, unknown>, expected: Buffer][] = [
    ["BOOL", { bool_contents: [true, false, true] }, Buffer.from([1, 0, 1])],
    ["INT8", { int_contents: int32s }, raw(Int8Array.from(int32s))],
    ["INT16", { int_contents: int32s }, raw(Int16Array.from(int32s))],
    ["INT32", { int_contents: int32s }, raw(Int32Array.from(int32s))],
    ["INT64", { int64_contents: int64s.map(String) }, raw(BigInt64Array.from(int64s))],
    ["UINT8", { uint_contents: uint32s }, raw(Uint8Array.from(uint32s))],
    ["UINT16", { uint_contents: uint32s }, raw(Uint16Array.from(uint32s))],
    ["UINT32", { uint_contents: uint32s }, raw(Uint32Array.from(uint32s))],
    ["UINT64", { uint64_contents: uint64s.map(String) }, raw(BigUint64Array.from(uint64s))],
    ["FP32", { fp32_contents: doubles }, raw(Float32Array.from(doubles))],
    ["FP64", { fp64_contents: doubles }, raw(Float64Array.from(doubles))],
    [
      "BYTES",
      { bytes_contents: [Buffer.from("ab"), Buffer.alloc(0), Buffer.alloc(40, 7)] },
      Buffer.concat([Buffer.from([2, 0, 0, 0, 97, 98, 0, 0, 0, 0, 40, 0, 0, 0]), Buffer.alloc(40, 7)]),
    ],
  ];
  for (const [datatype, message, expected] of cases) {
    it(`of ${datatype} become the tensor's own bytes`, () => {
      assert.deepEqual(toRaw(datatype, encode(message)), expected);
    });
  }

  it("may be packed, unpacked, mixed and split over messages alike", () => {
    fc.assert(
      fc.property(contentsMessages, fc.nat(), fc.boolean(), (message, at, unpack) => {
        const [name = "", values = []]: [string?, unknown[]?] = Object.entries(message)[0] ?? [];
        fc.pre(values.length > 0);
        const datatype = contentsDatatype(InferTensorContents.fields[name]?.id ?? 0, "");
        const cut = at % values.length;
        const tail = encode({ [name]: values.slice(cut) });
        const singles = values.slice(cut).map((value) => asSingle(encode({ [name]: [value] })));
        const pieces = [encode({ [name]: values.slice(0, cut) }), ...(unpack ? singles : [tail])];
        const whole = toRaw(datatype, encode(message));
        assert.deepEqual(toRaw(datatype, ...pieces), whole);
        assert.deepEqual(toRaw(datatype, Buffer.concat(pieces)), whole);
      }),
    );
  });

  /** A packed field of one element as that element by itself; bytes_contents are never packed. */
  function asSingle(packed: Buffer): Buffer {
    const number = (packed[0] ?? 0) >> 3;
    if (number === 8) return packed;
    const wireType = number === 6 ? 5 : number === 7 ? 1 : 0;
    return Buffer.concat([Buffer.from([(number << 3) | wireType]), packed.subarray(2)]);
  }

  it("of one packed run of floats stay where they arrived", () => {
    const bytes = encode({ fp32_contents: [1, 2, 3] });
    const view = contentsToRaw(countContents([bytes], { subject: "contents" }), 6, "FP32");
    assert.equal(view.buffer, bytes.buffer);
  });

  it("count booleans of any size as true", () => {
    const big = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
    assert.deepEqual([...toRaw("BOOL", field(1, Buffer.from([2, 0, ...big, 0x80, 0x80, 0])))], [1, 0, 1, 0]);
    assert.deepEqual([...toRaw("BOOL", varintField(1, ...big))], [1]);
  });

  it("skip fields and wire types that they do not know", () => {
    const known = varintField(2, 5);
    const noise = Buffer.concat([varintField(6, 1), field(99, "unknown"), Buffer.from([(8 << 3) | 5, 1, 2, 3, 4])]);
    assert.deepEqual([...toRaw("INT8", Buffer.concat([noise, known, noise]))], [5]);
  });

  it("that are malformed are refused with the code of their reader", () => {
    const cases = [
      field(6, Buffer.alloc(6)),
      field(7, Buffer.alloc(12)),
      field(3, Buffer.from([1, 0x80])),
      Buffer.from([(8 << 3) | 2, 5, 1]),
      Buffer.from([(6 << 3) | 5, 1, 2]),
      field(3, Buffer.from([...new Array<number>(11).fill(0x80), 1])),
      Buffer.from(varint((1 << 3) | 3)),
    ];
    for (const bytes of cases) {
      assert.throws(
        () => toRaw("INT64", bytes),
        (error) => error instanceof InferenceError && error.code === "INVALID_ARGUMENT",
        bytes.toString("hex"),
      );
    }
  });
});
