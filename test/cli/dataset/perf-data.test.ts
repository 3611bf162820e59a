import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { DatasetOptions } from "../../../cli/dataset/dataset.ts";
import { perfAnalyzerData, perfDataset } from "../../../cli/dataset/perf-data.ts";
import { decodeStrings, encodeStrings } from "../../../proto/files/npy-strings.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { floats, options, refusal } from "./support.ts";

const ROW = [1, 2, 3, 4, 5, 6];
const B64 = Buffer.from(Float32Array.from(ROW).buffer).toString("base64");

const read = (data: unknown, validation: unknown, changes: Partial<DatasetOptions> = {}) =>
  perfDataset(JSON.stringify({ data, validation_data: validation }), "p.json", options(changes));

describe("perf_analyzer's input data", () => {
  it("is read from values, content and base64, in streams or not; the answer is the largest score", () => {
    const data = [[{ image: ROW }], [{ image: { content: [[ROW]], shape: [1, 2, 3] } }, { image: { b64: B64 } }]];
    const validation = [
      [{ logits: [0, 1, 5] }],
      [{ logits: { content: [7, 1, 5], shape: [3] } }, { logits: [0, 2, 1] }],
    ];
    const dataset = read(data, validation);
    assert.equal(dataset.rows, 3);
    assert.deepEqual(dataset.inputs[0]?.shape, [3, 1, 2, 3]);
    assert.deepEqual(floats(dataset.inputs[0]?.data), [...ROW, ...ROW, ...ROW]);
    assert.deepEqual(dataset.labels, { values: Int32Array.of(2, 0, 1), tokens: 1 });
  });

  it("takes a whole number as the answer, and the scores of each token", () => {
    assert.deepEqual([...read([{ image: ROW }], [{ answer: [2] }]).labels.values], [2]);
    const scores = { name: "logits", datatype: "FP32", dims: [-1, 3] } as const;
    const logits = { content: [0, 1, 0, 0, 0, 4], shape: [2, 3] };
    assert.deepEqual(read([{ image: ROW }], [{ logits }], { scores }).labels, {
      values: Int32Array.of(1, 2),
      tokens: 2,
    });
  });

  it("is refused with file, entry, expected and found", () => {
    const one = [{ image: ROW }];
    const answer = [{ logits: [0, 1, 2] }];
    const cases: [unknown, unknown, RegExp][] = [
      [one, [], /^p\.json: validation_data has 0 entries, data has 1/],
      [[], [], /^p\.json: data has no entries$/],
      [[{ image: [1, 2] }], answer, /^p\.json: data\[0\]\.image has 2 elements, expected 6 for shape \[1, 2, 3\]$/],
      [[{ other: ROW }], answer, /^p\.json: data\[0\]\.image is missing$/],
      [[{ image: { content: ROW, shape: [6] } }], answer, /has shape \[6\], expected FP32 \[rows, 1, 2, 3\]/],
      [[{ image: ["a"] }], answer, /element 0 must be a number$/],
      [[{ image: { b64: "?" } }], answer, /data\[0\]\.image\.b64 is not base64$/],
      [[{ image: { b64: "AAAA" } }], answer, /has 0\.75 elements, expected 6/],
      [one, [{ x: [1], y: [2] }], /neither the scores 'logits' nor exactly one output/],
      [one, [{ answer: [1.5] }], /validation_data\[0\]\.answer element 0: 1\.5 is no INT32$/],
      [one, [{ answer: [3] }], /validation_data, row 0: label 3 is no class, expected 0 to 2$/],
    ];
    for (const [data, validation, message] of cases) assert.throws(() => read(data, validation), refusal(message));
    const deep = `${"[".repeat(100_000)}1${"]".repeat(100_000)}`;
    assert.throws(
      () => perfDataset(`{"data": [{"image": ${deep}}], "validation_data": [{"logits": [1]}]}`, "p.json", options()),
      refusal(/data\[0\]\.image element 0 must be a number$/),
    );
    assert.throws(() => perfDataset("{", "p.json", options()), refusal(/^p\.json: not valid JSON: /));
    assert.throws(() => perfDataset('{"data": []}', "p.json", options()), refusal(/validation_data is missing$/));
    assert.throws(() => read(one, answer, { scale: 0.5 }), refusal(/--scale does not apply/));
    const inputs = [{ name: "image", datatype: "FP32", dims: [-1] }] as const;
    assert.throws(() => read(one, answer, { inputs }), refusal(/image needs a "shape"/));
    const sizes = [1, 2].map((size) => ({ image: { content: new Array(size).fill(0), shape: [size] } }));
    assert.throws(
      () => read(sizes, [...answer, ...answer], { inputs }),
      refusal(/^p\.json: data\[1\]\.image has shape \[2\], data\[0\] has \[1\]/),
    );
  });

  it("reads the demo's own file once it has answers", () => {
    const file = new URL("../../../examples/fashion-mnist/data/perf_analyzer.json", import.meta.url);
    const { data } = JSON.parse(readFileSync(file, "utf8")) as { data: unknown[] };
    const inputs = [{ name: "image", datatype: "FP32", dims: [1, 28, 28] }] as const;
    const dataset = read(
      data,
      data.map(() => ({ answer: [0] })),
      { inputs },
    );
    assert.deepEqual(dataset.inputs[0]?.shape, [data.length, 1, 28, 28]);
  });

  it("is written from real inputs and read back as they were", () => {
    const image: Tensor = {
      name: "image",
      datatype: "FP32",
      shape: [2, 1, 2, 3],
      data: new Uint8Array(Float32Array.from([...ROW, ...ROW.map((value) => value / 7)]).buffer),
    };
    const text: Tensor = { name: "text", datatype: "BYTES", shape: [2, 1], data: encodeStrings(["a", "bc ü"]) };
    const { data } = JSON.parse(perfAnalyzerData([image, text], [1, 0])) as { data: unknown[] };
    const inputs = [...options().inputs, { name: "text", datatype: "BYTES", dims: [1] }] as const;
    const dataset = read(data, [{ answer: [0] }, { answer: [1] }], { inputs });
    assert.deepEqual(
      floats(dataset.inputs[0]?.data),
      floats(Buffer.concat([image.data.subarray(24), image.data.subarray(0, 24)])),
    );
    assert.deepEqual(decodeStrings(dataset.inputs[1]?.data ?? new Uint8Array()), ["bc ü", "a"]);
  });
});
