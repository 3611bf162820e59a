import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { encodeStrings } from "../../../proto/files/npy-strings.ts";
import { datasetHash, rowHashes } from "../../../proto/files/row-hash.ts";
import type { Tensor } from "../../../proto/tensor.ts";

const A: Tensor = { name: "a", datatype: "UINT8", shape: [3, 2], data: Uint8Array.of(1, 2, 3, 4, 1, 2) };
const B: Tensor = { name: "b", datatype: "INT16", shape: [3], data: Uint8Array.of(9, 0, 8, 0, 9, 0) };

describe("hashes of rows", () => {
  it("are SHA-256 over the row of every input in order of the names", () => {
    const expected = [
      [1, 2, 9, 0],
      [3, 4, 8, 0],
      [1, 2, 9, 0],
    ].map((bytes) => createHash("sha256").update(Uint8Array.from(bytes)).digest("hex"));
    assert.deepEqual(rowHashes([A, B]), expected);
    assert.deepEqual(rowHashes([B, A]), expected);
  });

  it("tell strings apart by their own lengths", () => {
    const data = encodeStrings(["ab", "c", "a", "bc", "ab", "c"]);
    const [first, second, third] = rowHashes([{ name: "t", datatype: "BYTES", shape: [3, 2], data }]);
    assert.equal(first, third);
    assert.notEqual(first, second);
  });

  it("are fast: 20,000 images take well below a second or two", () => {
    const data = new Uint8Array(20_000 * 784);
    const started = performance.now();
    const hashes = rowHashes([{ name: "a", datatype: "UINT8", shape: [20_000, 784], data }]);
    assert.equal(hashes.length, 20_000);
    assert.ok(performance.now() - started < 2000);
  });
});

describe("hashes of data sets", () => {
  it("change with a byte, a name, a datatype and a shape, not with the order of the inputs", () => {
    const hash = datasetHash([A, B]);
    assert.match(hash, /^[0-9a-f]{64}$/);
    assert.equal(datasetHash([B, A]), hash);
    const changed: Tensor[] = [
      { ...A, data: Uint8Array.of(1, 2, 3, 4, 1, 3) },
      { ...A, name: "c" },
      { ...A, datatype: "INT8" },
      { ...A, shape: [6] },
    ];
    assert.equal(new Set([hash, ...changed.map((tensor) => datasetHash([tensor, B]))]).size, 5);
  });
});
