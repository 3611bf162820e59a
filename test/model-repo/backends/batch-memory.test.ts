/** A batch into one buffer and out again. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type BoundTensor, gatherBatch, reshaped, scatterBatch } from "../../../model-repo/backends/batch-memory.ts";
import type { InferenceRequest } from "../../../proto/inference.ts";
import { bytes, floats, fp32, request } from "../../support/tensors.ts";

function bound(name: string, dims: number[], overrides: Partial<BoundTensor> = {}): BoundTensor {
  return { name, datatype: "FP32", dims, reshape: undefined, ...overrides };
}

describe("gatherBatch", () => {
  it("joins the rows of every input at aligned offsets", () => {
    const requests = [
      request({ inputs: [fp32("a", [1, 2], [1, 2]), fp32("b", [1, 1], [9])] }),
      request({ inputs: [fp32("b", [2, 1], [8, 7]), fp32("a", [2, 2], [3, 4, 5, 6])] }),
    ];
    const batch = gatherBatch(requests, [bound("a", [2]), bound("b", [1])], true, undefined);
    assert.deepEqual(batch.places, [
      { name: "a", dims: [3, 2], byteOffset: 0, byteLength: 24 },
      { name: "b", dims: [3, 1], byteOffset: 64, byteLength: 12 },
    ]);
    assert.deepEqual([...new Float32Array(batch.buffer, 0, 6)], [1, 2, 3, 4, 5, 6]);
    assert.deepEqual([...new Float32Array(batch.buffer, 64, 3)], [9, 8, 7]);
    assert.deepEqual(batch.rows, [1, 2]);
  });

  it("copies from unaligned views and leaves them alone", () => {
    const message = new Uint8Array(21);
    message.set(new Uint8Array(Float32Array.of(1.5, 2.5).buffer), 5);
    const input = { name: "a", datatype: "FP32", shape: [1, 2], data: message.subarray(5, 13) } as const;
    const { buffer } = gatherBatch([request({ inputs: [input] })], [bound("a", [2])], true, undefined);
    assert.deepEqual([...new Float32Array(buffer, 0, 2)], [1.5, 2.5]);
    assert.notEqual(buffer, message.buffer);
  });

  it("leaves out inputs that nobody sent and keeps whole shapes without batching", () => {
    const requests = [request({ inputs: [fp32("a", [], [1])] })];
    const batch = gatherBatch(requests, [bound("a", []), bound("optional", [4])], false, undefined);
    assert.deepEqual(batch.places, [{ name: "a", dims: [], byteOffset: 0, byteLength: 4 }]);
    assert.deepEqual(batch.rows, []);
  });

  it("hands the model its own shape", () => {
    const input = bound("a", [1], { reshape: [] });
    const { places } = gatherBatch([request({ inputs: [fp32("a", [3, 1], [1, 2, 3])] })], [input], true, undefined);
    assert.deepEqual(places[0]?.dims, [3]);
  });

  it("uses the spare buffer where it fits and is not far too large", () => {
    const requests = [request({ inputs: [fp32("a", [1, 2], [1, 2])] })];
    const gather = (spare: ArrayBuffer | undefined) => gatherBatch(requests, [bound("a", [2])], true, spare).buffer;
    const first = gather(undefined);
    assert.equal(gather(first), first);
    const small = new ArrayBuffer(4);
    assert.notEqual(gather(small), small);
    const huge = new ArrayBuffer(1 << 20);
    assert.notEqual(gather(huge), huge);
  });
});

describe("scatterBatch", () => {
  it("gives each request its rows", () => {
    const results = [{ dims: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6).buffer }];
    const [first, second] = scatterBatch("m", 2, [1, 2], [bound("y", [2])], results);
    assert.deepEqual(
      [first?.[0]?.shape, floats(first?.[0])],
      [
        [1, 2],
        [1, 2],
      ],
    );
    assert.deepEqual(
      [second?.[0]?.shape, floats(second?.[0])],
      [
        [2, 2],
        [3, 4, 5, 6],
      ],
    );
  });

  it("ignores rows beyond the batch, refuses fewer in Triton's words", () => {
    const results = [{ dims: [3, 1], data: Float32Array.of(1, 2, 3).buffer }];
    const outputs = scatterBatch("m", 1, [2], [bound("y", [1])], results);
    assert.deepEqual(
      [outputs[0]?.[0]?.shape, floats(outputs[0]?.[0])],
      [
        [2, 1],
        [1, 2],
      ],
    );
    assert.throws(() => scatterBatch("m", 2, [2, 2], [bound("y", [1])], results), {
      code: "UNIMPLEMENTED",
      message:
        "failed to split the output tensor 'y' in responses: expected batch size of at least 4 in model output, got 3",
    });
    assert.throws(() => scatterBatch("m", 1, [1], [bound("y", [])], [{ dims: [], data: new ArrayBuffer(4) }]), {
      code: "UNIMPLEMENTED",
    });
  });

  it("keeps whole shapes without batching and gives the client its shape", () => {
    const whole = scatterBatch("m", 1, [], [bound("y", [-1, 2])], [{ dims: [3, 2], data: new ArrayBuffer(24) }]);
    assert.deepEqual(whole[0]?.[0]?.shape, [3, 2]);
    const reshape = [bound("y", [1], { reshape: [] })];
    const scalars = scatterBatch("m", 1, [2], reshape, [{ dims: [2], data: new ArrayBuffer(8) }]);
    assert.deepEqual(scalars[0]?.[0]?.shape, [2, 1]);
  });

  it("refuses shapes other than the configuration's", () => {
    for (const dims of [[2, 3], [2], [2, 2, 1]]) {
      const results = [{ dims, data: new ArrayBuffer(24) }];
      assert.throws(() => scatterBatch("m", 1, [2], [bound("y", [2])], results), {
        code: "INTERNAL",
        message: /^unexpected shape for output 'y' for model 'm'\. Expected \[2\], got \[/,
      });
    }
  });

  it("undoes gatherBatch for any rows, shapes and BYTES", () => {
    const texts = fc.array(fc.array(fc.string(), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(texts, (lists) => {
        const requests: InferenceRequest[] = lists.map((list) =>
          request({
            inputs: [
              bytes("s", [list.length, 1], list),
              fp32(
                "a",
                [list.length, 2],
                list.flatMap(() => [1, 2]),
              ),
            ],
          }),
        );
        const tensors = [bound("s", [1], { datatype: "BYTES" }), bound("a", [2])];
        const batch = gatherBatch(requests, tensors, true, undefined);
        const results = batch.places.map(({ dims, byteOffset, byteLength }) => ({
          dims,
          data: batch.buffer.slice(byteOffset, byteOffset + byteLength),
        }));
        const outputs = scatterBatch("m", requests.length, batch.rows, tensors, results);
        outputs.forEach((tensorsOfRequest, i) => {
          tensorsOfRequest.forEach((tensor, j) => {
            const sent = requests[i]?.inputs[j];
            assert.deepEqual(tensor.shape, sent?.shape);
            assert.deepEqual([...tensor.data], [...(sent?.data ?? [])]);
          });
        });
      }),
    );
  });
});

describe("reshaped", () => {
  it("fills the variable sizes in, in order", () => {
    assert.deepEqual(reshaped([5, 3, 7], [-1, 3, -1], [3, -1, -1]), [3, 5, 7]);
    assert.deepEqual(reshaped([1], [1], []), []);
    assert.deepEqual(reshaped([2, 2], [2, 2], undefined), [2, 2]);
  });
});
