import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { concatTensors, elementCount, gatherRows, splitTensor, type Tensor } from "../../proto/tensor.ts";
import { bytes, floats, fp32 } from "../support/tensors.ts";

const fixed: fc.Arbitrary<Tensor> = fc.tuple(fc.nat(6), fc.integer({ min: 1, max: 4 })).map(([rows, width]) =>
  fp32(
    "x",
    [rows, width],
    Array.from({ length: rows * width }, (_, i) => i),
  ),
);
const text: fc.Arbitrary<Tensor> = fc
  .array(fc.tuple(fc.string(), fc.string()), { maxLength: 6 })
  .map((rows) => bytes("x", [rows.length, 2], rows.flat()));
const tensors = fc.oneof(fixed, text);

describe("tensors", () => {
  it("split undoes concat", () => {
    const parts = fc.oneof(
      fc
        .array(fixed, { minLength: 1, maxLength: 4 })
        .map((list) => list.filter((t) => t.shape[1] === list[0]?.shape[1])),
      fc.array(text, { minLength: 1, maxLength: 4 }),
    );
    fc.assert(
      fc.property(parts, (list) => {
        const sizes = list.map((part) => part.shape[0] ?? 0);
        assert.deepEqual(
          splitTensor(concatTensors(list), sizes).map((part) => ({ ...part, data: [...part.data] })),
          list.map((part) => ({ ...part, data: [...part.data] })),
        );
      }),
    );
  });

  it("gather takes rows in any order, as often as asked", () => {
    fc.assert(
      fc.property(tensors, fc.array(fc.nat(5), { maxLength: 8 }), (tensor, wishes) => {
        const rows = tensor.shape[0] ?? 0;
        const picked = wishes.filter((row) => row < rows);
        const single = splitTensor(tensor, new Array<number>(rows).fill(1));
        const expected = picked.flatMap((row) => [...(single[row]?.data ?? [])]);
        const gathered = gatherRows(tensor, picked);
        assert.deepEqual([...gathered.data], expected);
        assert.equal(gathered.shape[0], picked.length);
      }),
    );
  });

  it("gather copies nothing where the rows are contiguous", () => {
    const tensor = fp32("x", [4, 2], [0, 1, 2, 3, 4, 5, 6, 7]);
    const middle = gatherRows(tensor, [1, 2]);
    assert.equal(middle.data.buffer, tensor.data.buffer);
    assert.deepEqual(floats(middle), [2, 3, 4, 5]);
    assert.notEqual(gatherRows(tensor, [2, 1]).data.buffer, tensor.data.buffer);
  });

  it("counts elements", () => {
    assert.equal(elementCount([]), 1);
    assert.equal(elementCount([3, 0, 2]), 0);
    assert.equal(elementCount([3, 4]), 12);
  });
});
