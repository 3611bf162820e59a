import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DatasetOptions } from "../../../cli/dataset/dataset.ts";
import { npzDataset } from "../../../cli/dataset/npz-data.ts";
import type { NpyArray } from "../../../proto/files/npy.ts";
import { array, floats, npz, options, refusal } from "./support.ts";

const PIXELS = Uint8Array.from({ length: 12 }, (_, i) => i * 20);
const IMAGES = array("UINT8", [2, 1, 2, 3], PIXELS);
const LABELS = array("INT64", [2], BigInt64Array.of(2n, 0n));
const SCORES = array("FP32", [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));

const read = (arrays: Record<string, NpyArray>, changes: Partial<DatasetOptions> = {}) =>
  npzDataset(npz(arrays), "d.npz", options(changes));

describe("inputs in .npz", () => {
  it("are the arrays of the inputs' names, in the inputs' datatypes", () => {
    const dataset = read({ image: IMAGES, labels: LABELS, groups: array("INT32", [2], Int32Array.of(7, -1)) });
    assert.ok(dataset.kind === "inputs");
    assert.equal(dataset.rows, 2);
    assert.deepEqual(dataset.labels, { values: Int32Array.of(2, 0), tokens: 1 });
    assert.deepEqual(dataset.groups, ["7", "-1"]);
    assert.deepEqual(dataset.inputs[0]?.shape, [2, 1, 2, 3]);
    assert.equal(dataset.inputs[0]?.datatype, "FP32");
    assert.deepEqual(floats(dataset.inputs[0]?.data), [...PIXELS]);
    assert.deepEqual([dataset.images?.height, dataset.images?.width], [2, 3]);
  });

  it("are scaled where whole numbers become floating-point ones", () => {
    const dataset = read({ image: IMAGES, labels: LABELS }, { scale: 0.5 });
    assert.ok(dataset.kind === "inputs");
    assert.deepEqual(
      floats(dataset.inputs[0]?.data),
      Array.from(PIXELS, (pixel) => pixel / 2),
    );
  });

  it("take several inputs, any size where dims say so, labels for each token and names as labels", () => {
    const inputs = [
      { name: "ids", datatype: "INT32", dims: [-1] },
      { name: "extra", datatype: "FP64", dims: [1], optional: true },
      { name: "mask", datatype: "BOOL", dims: [2] },
    ] as const;
    const labels = array("INT8", [2, 2], Int8Array.of(0, 1, 2, -1));
    const ids = array("INT64", [2, 2], BigInt64Array.of(1n, 2n, 3n, 4n));
    const dataset = read({ ids, mask: array("BOOL", [2, 2], Uint8Array.of(1, 1, 1, 0)), labels }, { inputs });
    assert.ok(dataset.kind === "inputs");
    assert.deepEqual(
      dataset.inputs.map(({ name, datatype }) => `${name} ${datatype}`),
      ["ids INT32", "mask BOOL"],
    );
    assert.deepEqual(dataset.labels, { values: Int32Array.of(0, 1, 2, -1), tokens: 2 });
    assert.equal(dataset.images, null);
  });

  it("are refused with file, array, expected and found", () => {
    const good = { image: IMAGES, labels: LABELS };
    const cases: [Record<string, NpyArray>, Partial<DatasetOptions>, RegExp][] = [
      [{ labels: LABELS }, {}, /^d\.npz: array 'image' is missing: .*; the file has 'labels'$/],
      [{ image: IMAGES }, {}, /^d\.npz: array 'labels' is missing: /],
      [
        { ...good, image: array("UINT8", [2, 2, 3], PIXELS) },
        {},
        /array 'image' is UINT8 \[2, 2, 3\], expected FP32 \[rows, 1, 2, 3\]$/,
      ],
      [{ ...good, labels: array("INT32", [3], new Int32Array(3)) }, {}, /'labels' has shape \[3\], expected \[2\]/],
      [
        { ...good, labels: array("UINT8", [2], Uint8Array.of(0, 3)) },
        {},
        /row 1: label 3 is no class, expected 0 to 2$/,
      ],
      [{ ...good, labels: array("INT8", [2], Int8Array.of(0, -1)) }, {}, /row 1: label -1 is no class/],
      [{ ...good, labels: array("FP32", [2], new Float32Array(2)) }, {}, /'labels' is FP32, expected whole numbers/],
      [good, { groupBy: "user" }, /array 'user', which --group-by names, is missing/],
      [{ ...good, groups: array("INT8", [1], new Int8Array(1)) }, {}, /'groups' has shape \[1\], expected \[2\]/],
      [
        { ...good, image: array("INT16", [2, 1, 2, 3], new Int16Array(12).fill(300, 11)) },
        { inputs: [{ name: "image", datatype: "UINT8", dims: [1, 2, 3] }] },
        /array 'image', row 1: 300 does not fit into the input's UINT8$/,
      ],
      [
        { ...good, image: array("FP32", [2, 1, 2, 3], new Float32Array(12)) },
        { inputs: [{ name: "image", datatype: "UINT8", dims: [1, 2, 3] }] },
        /array 'image' is FP32, which cannot be converted to the input's UINT8$/,
      ],
      [
        { image: array("UINT8", [0, 1, 2, 3], new Uint8Array()), labels: array("UINT8", [0], new Uint8Array()) },
        {},
        /^d\.npz: there are no rows$/,
      ],
      [
        { ...good, b: array("FP32", [3], new Float32Array(3)) },
        { inputs: [...options().inputs, { name: "b", datatype: "FP32", dims: [] }] },
        /array 'b' has 3 rows, array 'image' has 2$/,
      ],
    ];
    for (const [arrays, changes, message] of cases) assert.throws(() => read(arrays, changes), refusal(message));
  });
});

describe("recorded outputs in .npz", () => {
  it("are one array a level", () => {
    const half = array("FP16", [2, 3], new Uint16Array(6));
    const dataset = read({ level1: half, level0: SCORES, labels: LABELS }, { levels: 2 });
    assert.ok(dataset.kind === "recorded");
    assert.deepEqual(
      dataset.levels.map(({ name, datatype }) => `${name} ${datatype}`),
      ["level0 FP32", "level1 FP16"],
    );
    assert.equal(dataset.mask, null);
  });

  it("may be sequences with a mask", () => {
    const level = array("FP32", [2, 2, 3], new Float32Array(12));
    const mask = array("INT64", [2, 2], BigInt64Array.of(1n, 0n, 256n, 1n));
    const labels = array("INT8", [2, 2], new Int8Array(4));
    const dataset = read({ level0: level, level1: level, mask, labels });
    assert.ok(dataset.kind === "recorded");
    assert.deepEqual(dataset.mask, Uint8Array.of(1, 0, 1, 1));
    assert.equal(dataset.labels.tokens, 2);
    assert.throws(
      () => read({ level0: level, level1: level, labels: LABELS }),
      refusal(/1 labels a row, .* answer 2 a row/),
    );
    const short = array("INT8", [2, 1], new Int8Array(2));
    assert.throws(
      () => read({ level0: level, level1: level, mask: short, labels }),
      refusal(/'mask' is INT8 \[2, 1\], .*\[2, 2\]$/),
    );
  });

  it("are refused where levels are missing or do not line up", () => {
    const cases: [Record<string, NpyArray>, number | null, RegExp][] = [
      [{ level0: SCORES }, null, /the outputs of 1 levels \(level0\.\.\.\), expected 2$/],
      [{ level0: SCORES, level1: SCORES }, 3, /the outputs of 2 levels \(level0\.\.\.\), expected 3$/],
      [{ level0: SCORES, level2: SCORES }, null, /array 'level1' is missing: levels are numbered without gaps$/],
      [
        { level0: SCORES, level1: array("FP32", [3, 2], new Float32Array(6)) },
        null,
        /array 'level1' has shape \[3, 2\], expected \[2, classes\]$/,
      ],
      [{ level0: SCORES, level1: array("INT32", [2, 3], new Int32Array(6)) }, null, /'level1' is INT32, expected FP16/],
    ];
    for (const [arrays, levels, message] of cases) {
      assert.throws(() => read({ ...arrays, labels: LABELS }, { levels }), refusal(message));
    }
  });
});
