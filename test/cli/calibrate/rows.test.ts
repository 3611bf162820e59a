import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { goldenRows } from "../../../cli/calibrate/golden.ts";
import { toScores } from "../../../cli/calibrate/level-scores.ts";
import { runLevel } from "../../../cli/calibrate/run-levels.ts";
import type { Runtime } from "../../../planner/runtime.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { readNpz } from "../../../proto/files/npz.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { cascadeLevel, modelSignature, spec } from "./signatures.ts";

const CONFIDENCE = { function: "max_prob", kind: "logits", outputs: { scores: "logits" }, params: {} } as const;
const LEVEL = cascadeLevel("m", { inputs: { x: "image" }, confidence: CONFIDENCE });

function floats(name: string, shape: readonly number[], values: readonly number[]): Tensor {
  return { name, datatype: "FP32", shape: [...shape], data: new Uint8Array(new Float32Array(values).buffer) };
}

/** `logits` are the input; a row costs half. Counts the rows of each run. */
function echo(fails = false) {
  const runs: number[] = [];
  const runtime: Runtime = {
    costUnit: "cpuSeconds",
    costSource: "test",
    signature: () => modelSignature("m", [spec("x", [2])], [spec("logits", [2])]),
    levelHash: () => Promise.resolve("sha256:aa"),
    run: async (_model, _version, inputs) => {
      if (fails) throw new InferenceError("INTERNAL", "the model burst");
      const [input] = inputs;
      assert.ok(input !== undefined && input.name === "x");
      runs.push(input.shape[0] ?? 0);
      return { outputs: [{ ...input, name: "logits" }], cost: 0.5 * (input.shape[0] ?? 0) };
    },
    close: () => Promise.resolve(),
  };
  return { runtime, runs };
}

describe("runLevel", () => {
  it("runs all rows in chunks, in order, and tells the cost of a row", async () => {
    const { runtime, runs } = echo();
    const values = Array.from({ length: 6000 }, (_, i) => i);
    const progress: [number, number, boolean][] = [];
    const run = await runLevel(LEVEL, [floats("image", [3000, 2], values)], "d", runtime, null, (_level, ...rest) =>
      progress.push(rest),
    );
    assert.deepEqual(runs, [2048, 952]);
    assert.deepEqual(run.outputs.get("scores"), floats("logits", [3000, 2], values));
    assert.equal(run.costPerRow, 0.5);
    assert.equal(run.levelHash, "sha256:aa");
    assert.deepEqual(progress, [
      [2048, 3000, false],
      [3000, 3000, false],
    ]);
  });

  it("fails with the level's error, and where the data lacks the level's input", async () => {
    const image = floats("image", [1, 2], [1, 2]);
    await assert.rejects(
      runLevel(LEVEL, [image], "d", echo(true).runtime, null, () => undefined),
      /the model burst/,
    );
    await assert.rejects(
      runLevel(LEVEL, [{ ...image, name: "photo" }], "d", echo().runtime, null, () => undefined),
      /takes its input from 'image', which the data set lacks; it has: photo/,
    );
  });
});

describe("toScores", () => {
  it("reads rows, tokens and classes, and the mask", () => {
    const mask: Tensor = { name: "mask", datatype: "INT64", shape: [1, 2], data: new Uint8Array(16).fill(1, 0, 1) };
    const scores = toScores(floats("s", [1, 2, 2], [1, 2, 3, 4]), mask, "logits", "here");
    assert.deepEqual([scores.rows, scores.tokens, scores.classes, scores.kind], [1, 2, 2, "logits"]);
    assert.deepEqual([...scores.values], [1, 2, 3, 4]);
    assert.deepEqual(scores.mask, new Uint8Array([1, 0]));
  });

  it("keeps what is no finite number", () => {
    const scores = toScores(floats("s", [1, 2], [Number.NaN, Number.POSITIVE_INFINITY]), undefined, "logits", "here");
    assert.deepEqual([...scores.values], [Number.NaN, Number.POSITIVE_INFINITY]);
  });

  it("tells the kind from the values where it is not said", () => {
    assert.equal(toScores(floats("s", [1, 2], [0.25, 0.75]), undefined, null, "here").kind, "probabilities");
    assert.equal(toScores(floats("s", [1, 2], [-3, 4]), undefined, null, "here").kind, "logits");
  });

  it("refuses other shapes, naming where", () => {
    assert.throws(
      () => toScores(floats("s", [1, 1, 1, 1], [1]), undefined, null, "here"),
      /here: 's' has shape \[1,1,1,1\]/,
    );
    const mask: Tensor = { name: "mask", datatype: "UINT8", shape: [3], data: new Uint8Array(3) };
    assert.throws(() => toScores(floats("s", [1, 2, 1], [1, 2]), mask, null, "here"), /'mask' .* expected \[1, 2\]/);
  });
});

describe("goldenRows", () => {
  it("keeps the first rows of the order, inputs and answers, in their own datatype", () => {
    const half: Tensor = { name: "logits", datatype: "FP16", shape: [3, 1], data: new Uint8Array([1, 0, 2, 0, 3, 0]) };
    const run = { outputs: new Map([["scores", half]]), costPerRow: 0, levelHash: "" };
    const bytes = goldenRows([floats("image", [3, 1], [7, 8, 9])], [LEVEL], [run], Int32Array.of(2, 0));
    assert.deepEqual(
      [...readNpz(bytes, "golden.npz")].map(([name, array]) => [name, array.datatype, array.shape, [...array.data]]),
      [
        ["input:image", "FP32", [2, 1], [...new Uint8Array(new Float32Array([9, 7]).buffer)]],
        ["level0:logits", "FP16", [2, 1], [3, 0, 1, 0]],
      ],
    );
  });

  it("holds 256 rows at most", () => {
    const rows = Int32Array.from({ length: 300 }, (_, i) => i);
    const bytes = goldenRows([floats("image", [300, 1], new Array(300).fill(1))], [], [], rows);
    assert.deepEqual(readNpz(bytes, "golden.npz").get("input:image")?.shape, [256, 1]);
  });
});
