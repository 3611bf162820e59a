import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ByteSource, MemorySource } from "../../../proto/onnx/byte-source.ts";
import { readOutline } from "../../../proto/onnx/outline.ts";
import { parseModel } from "../../../proto/onnx/parse-model.ts";
import { field, node, tensorInfo } from "../../support/onnx-writer.ts";

/** A model file of `tensors` x `weightBytes` that exists only where it is not weights, and counts what is read. */
class HollowSource implements ByteSource {
  readonly subject = "hollow.onnx";
  readonly size: number;
  bytesRead = 0;
  reads = 0;
  readonly #parts: { readonly start: number; readonly bytes: Buffer }[] = [];

  constructor(tensors: number, weightBytes: number) {
    const headers = Array.from({ length: tensors }, (_, i) =>
      Buffer.concat([field(1, weightBytes), field(2, 2), field(8, `w${i}`), lengthOf(9, weightBytes)]),
    );
    const outside = Buffer.concat([field(1, node("Identity", ["x"], ["y"])), field(11, tensorInfo("x", "FP32", [1]))]);
    const tensorSize = (header: Buffer): number => header.byteLength + weightBytes;
    const tags = headers.map((header) => lengthOf(5, tensorSize(header)));
    const graphSize =
      outside.byteLength + headers.reduce((sum, header, i) => sum + (tags[i]?.byteLength ?? 0) + tensorSize(header), 0);
    const head = Buffer.concat([field(1, 8), lengthOf(7, graphSize), outside]);
    this.#parts.push({ start: 0, bytes: head });
    let position = head.byteLength;
    for (const [i, header] of headers.entries()) {
      const bytes = Buffer.concat([tags[i] ?? Buffer.alloc(0), header]);
      this.#parts.push({ start: position, bytes });
      position += bytes.byteLength + weightBytes;
    }
    this.size = position;
  }

  peek(): undefined {
    return undefined;
  }

  async read(start: number, length: number): Promise<Buffer> {
    this.reads++;
    this.bytesRead += length;
    const result = Buffer.alloc(length);
    for (const part of this.#parts) {
      const from = Math.max(start, part.start);
      const to = Math.min(start + length, part.start + part.bytes.byteLength);
      if (from < to) part.bytes.copy(result, from - start, from - part.start, to - part.start);
    }
    return result;
  }
}

/** Tag and length of a field whose bytes are elsewhere. */
function lengthOf(number: number, length: number): Buffer {
  const tag = field(number, Buffer.alloc(0)).subarray(0, -1);
  return Buffer.concat([tag, field(1, length).subarray(1)]);
}

describe("readOutline", () => {
  it("reads a model of 2 GB without its weights", async () => {
    const source = new HollowSource(200, 10_000_000);
    assert.ok(source.size > 2_000_000_000);
    const outline = await readOutline(source);
    assert.ok(source.bytesRead < 100_000, `${source.bytesRead} bytes read`);
    assert.ok(source.reads < 3_000, `${source.reads} reads`);
    const model = parseModel(outline.bytes, source.subject, outline.initializers);
    assert.equal(model.initializers.length, 200);
    assert.equal(model.initializers[199]?.name, "w199");
    assert.equal(model.initializers[199]?.range?.end, source.size);
    assert.deepEqual(
      model.inputs.map(({ name }) => name),
      ["x"],
    );
  });

  it("bounds what is kept and what is scanned", async () => {
    // Empty texts without end: `producer_name: ""`.
    const empty = Buffer.alloc(5_000_000, Buffer.from([0x12, 0x00]));
    await assert.rejects(readOutline(new MemorySource(empty, "endless.onnx")), {
      code: "INVALID_ARGUMENT",
      message: /'endless\.onnx' is not a valid ONNX model: it has more than 2000000 fields/,
    });
    const wide: ByteSource = {
      subject: "wide.onnx",
      size: 1_999_999_996,
      peek: () => undefined,
      // One text of almost 2 GB: tag 2 and its length, then anything.
      read: async (start, length) => {
        assert.ok(length < 100_000_000, "the text itself is not read");
        const bytes = Buffer.alloc(Math.min(length, 64));
        if (start === 0) lengthOf(2, 1_999_999_990).copy(bytes);
        return bytes;
      },
    };
    await assert.rejects(readOutline(wide), { message: /are not weights/ });
  });
});
