import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bytesPerRow, checkRows, randomRows, toBatches } from "../../../model-repo/profile/sample-requests.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { type DataType, ELEMENT_BYTES } from "../../../proto/datatypes.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { readFloats } from "../../../scheduler/confidence/floats.ts";
import type { ModelSignature } from "../../../scheduler/signature.ts";

function signature(datatype: DataType, dims: readonly number[], maxBatchSize = 8): ModelSignature {
  const inputs = [
    { name: "x", datatype, dims },
    { name: "extra", datatype, dims, optional: true },
  ];
  return { name: "m", version: "1", maxBatchSize, inputs, outputs: [] };
}

function rows(datatype: DataType, dims: readonly number[] = [3], shapes: [string, number[]][] = []): Tensor {
  const [tensor] = randomRows(signature(datatype, dims), 50, { shapes: new Map(shapes), random: seededRandom(1) });
  assert.ok(tensor);
  return tensor;
}

describe("randomRows", () => {
  for (const datatype of ["FP16", "FP32", "FP64"] as const) {
    it(`are ${datatype} numbers of both signs between -1 and 1`, () => {
      const values = [...readFloats(rows(datatype))];
      assert.equal(values.length, 150);
      assert.ok(values.every((value) => Math.abs(value) <= 1));
      assert.ok(values.some((value) => value < -0.1) && values.some((value) => value > 0.1));
      assert.ok(new Set(values).size > 100);
    });
  }

  for (const datatype of ["BOOL", "UINT16", "INT16", "UINT32", "INT32", "UINT64", "INT64"] as const) {
    it(`are ${datatype} zeros and ones, which are ids and masks of any model`, () => {
      const { data } = rows(datatype);
      const width = ELEMENT_BYTES[datatype];
      assert.equal(data.length, 150 * width);
      assert.ok(data.every((byte, i) => (i % width === 0 ? byte <= 1 : byte === 0)));
      assert.deepEqual(new Set(data), new Set([0, 1]));
    });
  }

  it("are bytes of any value", () => {
    assert.ok(new Set(rows("UINT8").data).size > 60);
    assert.ok(new Set(rows("INT8").data).size > 60);
  });

  it("are texts with their lengths", () => {
    const { data } = rows("BYTES");
    const view = new DataView(data.buffer);
    let offset = 0;
    let count = 0;
    for (; offset < data.length; count++) offset += 4 + view.getUint32(offset, true);
    assert.deepEqual([offset, count], [data.length, 150]);
  });

  it("take sizes of free dimensions and leave out optional inputs", () => {
    assert.deepEqual(rows("FP32", [-1, 4], [["x", [6, 4]]]).shape, [50, 6, 4]);
    assert.throws(() => rows("FP32", [-1, 4]), /model 'm', input 'x' has free dimensions.*--shape x:128,4.*--data/);
    assert.throws(() => rows("FP32", [-1, 4], [["x", [6, 5]]]), /--shape gives \[6,5\], the model has \[-1,4\]/);
    assert.throws(() => rows("FP32", [-1], [["x", [6, 5]]]), /--shape gives/);
  });
});

describe("toBatches", () => {
  it("are requests of a row each, going round", () => {
    const given: Tensor = { name: "x", datatype: "UINT8", shape: [3, 1], data: Uint8Array.of(10, 11, 12) };
    const batches = toBatches(signature("UINT8", [1]), [given], 2, 3);
    assert.deepEqual(
      batches.map((batch) => batch.map(({ inputs }) => [inputs[0]?.shape, inputs[0]?.data[0]])),
      [
        [
          [[1, 1], 10],
          [[1, 1], 11],
        ],
        [
          [[1, 1], 12],
          [[1, 1], 10],
        ],
        [
          [[1, 1], 11],
          [[1, 1], 12],
        ],
      ],
    );
  });

  it("are whole inputs for a model that does not batch", () => {
    const given: Tensor = { name: "x", datatype: "UINT8", shape: [3, 1], data: Uint8Array.of(10, 11, 12) };
    const batches = toBatches(signature("UINT8", [3, 1], 0), [given], 1, 2);
    assert.deepEqual(
      batches.map((batch) => batch.map(({ inputs }) => inputs)),
      [[[given]], [[given]]],
    );
    assert.equal(bytesPerRow([given], 0), 3);
    assert.equal(bytesPerRow([given], 8), 1);
  });
});

describe("checkRows", () => {
  it("refuses data of another shape or type", () => {
    const of = signature("FP32", [-1, 2]);
    const [spec] = of.inputs;
    assert.ok(spec);
    const tensor = (datatype: DataType, shape: number[]) => ({ name: "x", datatype, shape, data: new Uint8Array(0) });
    checkRows(of, spec, tensor("FP32", [5, 7, 2]));
    for (const [datatype, shape] of [
      ["FP64", [5, 7, 2]],
      ["FP32", [5, 7, 3]],
      ["FP32", [7, 2]],
      ["FP32", [0, 7, 2]],
    ] as const) {
      assert.throws(
        () => checkRows(of, spec, tensor(datatype, [...shape])),
        /the data are .*, the model takes FP32 \[-1,-1,2\]/,
      );
    }
  });
});
