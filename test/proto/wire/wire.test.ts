import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { InferenceError } from "../../../proto/errors.ts";
import { FIXED32, FIXED64, LENGTH_DELIMITED, VARINT, WireReader } from "../../../proto/wire/reader.ts";
import { decodeUtf8, utf8Length } from "../../../proto/wire/utf8.ts";
import {
  bigIntSize,
  delimitedSize,
  int64Size,
  stringFieldSize,
  varintSize,
  WireWriter,
} from "../../../proto/wire/writer.ts";

const reader = (...bytes: number[]) => new WireReader(Uint8Array.from(bytes), { subject: "test message" });

const refuses = (action: () => unknown, message: RegExp) =>
  assert.throws(
    action,
    (error) => error instanceof InferenceError && error.code === "INVALID_ARGUMENT" && message.test(error.message),
  );

/** What one write call makes, checked to fill its buffer exactly. */
function written(size: number, write: (writer: WireWriter) => void): Buffer {
  const writer = WireWriter.ofSize(size);
  write(writer);
  assert.equal(writer.position, size);
  return writer.bytes;
}

describe("varints", () => {
  it("carry 64 bits both ways in the size that was computed", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), (value) => {
        const bytes = written(bigIntSize(value), (writer) => writer.bigInt(value));
        assert.equal(new WireReader(bytes, { subject: "test" }).bigUint64(), BigInt.asUintN(64, value));
        assert.equal(new WireReader(bytes, { subject: "test" }).bigInt64(), BigInt.asIntN(64, value));
        assert.equal(new WireReader(bytes, { subject: "test" }).varint32(), Number(BigInt.asUintN(32, value)));
        assert.equal(new WireReader(bytes, { subject: "test" }).bool(), BigInt.asUintN(64, value) !== 0n);
      }),
    );
  });

  it("carry safe integers as numbers", () => {
    const edges = [0, 127, 128, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 35 - 1, 2 ** 35, 2 ** 42, 2 ** 49, 2 ** 53 - 1];
    fc.assert(
      fc.property(fc.oneof(fc.maxSafeInteger(), fc.constantFrom(...edges, ...edges.map((edge) => -edge))), (value) => {
        const bytes = written(int64Size(value), (writer) => writer.int64(value));
        assert.equal(new WireReader(bytes, { subject: "test" }).int64() + 0, value + 0);
      }),
    );
  });

  it("beyond 2^53 are no numbers", () => {
    for (const value of [2n ** 53n, -(2n ** 53n), 2n ** 63n, -(2n ** 63n), 2n ** 64n - 2n ** 60n]) {
      const bytes = written(bigIntSize(value), (writer) => writer.bigInt(value));
      assert.ok(Number.isNaN(new WireReader(bytes, { subject: "test" }).int64()), String(value));
    }
  });

  it("below 2^32 fit the size that was computed", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (value) => {
        const bytes = written(varintSize(value), (writer) => writer.varint(value));
        assert.equal(new WireReader(bytes, { subject: "test" }).varint32(), value);
      }),
    );
  });

  it("cut off or longer than 10 bytes are refused", () => {
    refuses(() => reader().varint32(), /varint is cut off/);
    refuses(() => reader(0x80, 0x80).varint32(), /malformed test message: a varint is cut off \(near byte 0\)/);
    refuses(() => reader(...new Array<number>(10).fill(0x80), 1).bigInt64(), /longer than 10 bytes/);
    assert.equal(reader(...new Array<number>(9).fill(0xff), 0x7f).bigInt64(), -1n);
  });
});

describe("WireReader", () => {
  it("walks nested messages and skips what it does not know", () => {
    const bytes = [
      [(1 << 3) | FIXED64, 0, 0, 0, 0, 0, 0, 0, 0],
      [(2 << 3) | FIXED32, 0, 0, 128, 63],
      [(3 << 3) | LENGTH_DELIMITED, 4, (1 << 3) | VARINT, 5, (2 << 3) | LENGTH_DELIMITED, 0],
      [(9 << 3) | LENGTH_DELIMITED, 130, 1, ...new Array<number>(130).fill(0xff)],
      [(4 << 3) | LENGTH_DELIMITED, 2, 104, 105],
    ].flat();
    const message = reader(...bytes);
    assert.equal(message.tag(), (1 << 3) | FIXED64);
    assert.equal(message.double(), 0);
    assert.equal(message.tag(), (2 << 3) | FIXED32);
    assert.equal(message.float(), 1);
    assert.equal(message.tag(), (3 << 3) | LENGTH_DELIMITED);
    const outer = message.enter();
    assert.equal(message.tag(), (1 << 3) | VARINT);
    message.leave(outer);
    const unknown = message.tag();
    assert.equal(unknown, (9 << 3) | LENGTH_DELIMITED);
    message.skip(unknown);
    assert.equal(message.tag(), (4 << 3) | LENGTH_DELIMITED);
    assert.equal(message.string(), "hi");
    assert.equal(message.tag(), 0);
    assert.equal(message.fields, 6);
  });

  it("gives views, not copies, of any part of a larger buffer", () => {
    const whole = Uint8Array.from([9, 9, (1 << 3) | LENGTH_DELIMITED, 2, 1, 2, 9]);
    const message = new WireReader(whole.subarray(2, 6), { subject: "test" });
    message.tag();
    const view = message.view();
    assert.deepEqual([...view], [1, 2]);
    whole[4] = 77;
    assert.equal(view[0], 77);
  });

  it("refuses groups, unknown wire types, field number 0 and wide tags", () => {
    for (const wireType of [3, 4, 6, 7]) {
      const message = reader((1 << 3) | wireType, 0);
      refuses(() => message.skip(message.tag()), new RegExp(`field 1 has wire type ${wireType}`));
    }
    refuses(() => reader(VARINT, 0).tag(), /number 0/);
    refuses(() => reader(0x88, 0x80, 0x80, 0x80, 0x10).tag(), /beyond 32 bits/);
  });

  it("refuses fields that reach beyond their message", () => {
    refuses(() => reader(1, 2, 3).float(), /cut off/);
    refuses(() => reader(1, 2, 3, 4, 5, 6, 7).double(), /cut off/);
    refuses(() => reader(3, 1, 2).view(), /cut off/);
    refuses(() => reader(0xff, 0xff, 0xff, 0xff, 0x0f).view(), /cut off/);
    refuses(() => reader(0xff, 0xff, 0xff, 0xff, 0xff, 0x01).view(), /beyond 32 bits/);
    const nested = reader(2, 5, 0, 1, 2, 3);
    nested.enter();
    refuses(() => nested.view(), /cut off/);
  });

  it("counts fields and stops at its limit, with the code it was given", () => {
    const message = new WireReader(Buffer.from([8, 0, 8, 0, 8, 0]), { subject: "m", code: "INTERNAL", maxFields: 2 });
    message.skip(message.tag());
    message.skip(message.tag());
    assert.throws(
      () => message.tag(),
      (error) =>
        error instanceof InferenceError &&
        error.code === "INTERNAL" &&
        error.message === "m has at least 3 fields; the limit is 2",
    );
  });
});

describe("text", () => {
  it("travels as UTF-8 in the size that was computed", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 100 }), (text) => {
        assert.equal(utf8Length(text), Buffer.byteLength(text));
        const bytes = written(delimitedSize(utf8Length(text)), (writer) => writer.string(text));
        assert.equal(new WireReader(bytes, { subject: "test" }).string(), text);
        written(stringFieldSize(text), (writer) => writer.stringField(10, text));
      }),
    );
  });

  it("of lone surrogates travels as replacement characters", () => {
    const bytes = written(delimitedSize(utf8Length("a\ud800")), (writer) => writer.string("a\ud800"));
    assert.equal(new WireReader(bytes, { subject: "test" }).string(), "a\ufffd");
  });

  it("that is not UTF-8 is refused", () => {
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x61, 0xc3]]) {
      assert.equal(decodeUtf8(Buffer.from(bytes), 0, bytes.length), undefined);
      refuses(() => reader(bytes.length, ...bytes).string(), /not valid UTF-8/);
    }
    assert.equal(decodeUtf8(Buffer.from("xäx"), 1, 3), "ä");
  });
});
