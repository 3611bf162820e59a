/** Recorded outputs of the examples: they hold what their READMEs say, and it is what the committed models answer. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { readNumbers } from "../../cli/dataset/convert.ts";
import { answersOf, correctRows } from "../../planner/cascade/level-answers.ts";
import type { NpyArray } from "../../proto/files/npy.ts";
import { readNpz } from "../../proto/files/npz.ts";

const EXAMPLES = new URL("../../examples/", import.meta.url);
/** Rows whose answers are compared with the model's. */
const COMPARED_ROWS = 500;
/** Other processors round otherwise: that many answers may sit so close to a tie that they change. */
const ROUNDING_ANSWERS = 2;

interface Example {
  readonly name: string;
  /** Archives with level0..., labels and mask. */
  readonly recorded: readonly string[];
  /** The inputs of the same rows; null where they are not in git. */
  readonly heldOut: string | null;
  readonly rows: number;
  /** Of each level: its model and how many rows it has right, as the README says. */
  readonly levels: readonly { readonly model: string; readonly right: number }[];
}

const CASES: readonly Example[] = [
  {
    name: "fashion-mnist",
    recorded: ["fashion-mnist/recorded/levels.npz", "fashion-mnist/recorded/level3.npz"],
    heldOut: null,
    rows: 22_000,
    levels: [
      { model: "fashion-mnist/models/fashion-xs", right: 19_416 },
      { model: "fashion-mnist/models/fashion-m", right: 20_228 },
      { model: "fashion-mnist/models/fashion-l", right: 20_532 },
      { model: "fashion-mnist/models/fashion-xl", right: 20_736 },
    ],
  },
  {
    name: "letter",
    recorded: ["letter/recorded.npz"],
    heldOut: "letter/held-out.npz",
    rows: 11_263,
    levels: [
      { model: "letter/models/letter-linear", right: 8443 },
      { model: "letter/models/letter-mlp16", right: 9297 },
      { model: "letter/models/letter-mlp128", right: 10_560 },
      { model: "letter/models/letter-mlp512", right: 10_834 },
    ],
  },
  {
    name: "tokens",
    recorded: ["tokens/recorded.npz"],
    heldOut: "tokens/held-out.npz",
    rows: 5000,
    levels: [
      { model: "tokens/models/sum-s", right: 3970 },
      { model: "tokens/models/sum-m", right: 4690 },
      { model: "tokens/models/sum-l", right: 4770 },
    ],
  },
];

describe("recorded outputs", () => {
  for (const example of CASES) {
    const arrays = new Map(example.recorded.flatMap((path) => [...readArrays(path)]));
    const mask = arrays.get("mask");
    const labels = Int32Array.from(readNumbers(arrayOf(arrays, "labels")));

    for (const [level, { model, right }] of example.levels.entries()) {
      it(`${model} has as many rows right as its README says`, () => {
        const answers = recordedAnswers(arrayOf(arrays, `level${level}`), mask);
        const correct = correctRows(answers, { values: labels, tokens: answers.tokens });
        assert.equal(correct.length, example.rows);
        assert.equal(
          correct.reduce((sum, value) => sum + value, 0),
          right,
        );
      });
    }

    const { heldOut } = example;
    if (heldOut === null) continue;
    for (const [level, { model }] of example.levels.entries()) {
      it(`${model} answers as recorded`, async () => {
        const scores = await runModel(`${model}/1/model.onnx`, readArrays(heldOut), COMPARED_ROWS);
        const now = recordedAnswers(scores, mask && firstRows(mask, COMPARED_ROWS)).classes;
        const before = recordedAnswers(arrayOf(arrays, `level${level}`), mask).classes;
        const different = now.filter((answer, i) => answer !== before[i]).length;
        assert.ok(different <= ROUNDING_ANSWERS, `${different} of ${now.length} answers differ`);
      });
    }
  }
});

function readArrays(path: string): Map<string, NpyArray> {
  return readNpz(readFileSync(new URL(path, EXAMPLES)), path);
}

function arrayOf(arrays: ReadonlyMap<string, NpyArray>, name: string): NpyArray {
  const array = arrays.get(name);
  assert.ok(array, `there is no array '${name}'`);
  return array;
}

function recordedAnswers(array: NpyArray, mask: NpyArray | undefined) {
  const [rows = 0, ...rest] = array.shape;
  const scores = {
    values: Float32Array.from(readNumbers(array)),
    rows,
    tokens: rest.length === 2 ? (rest[0] ?? 0) : 1,
    classes: rest.at(-1) ?? 0,
    kind: "logits" as const,
    mask: mask === undefined ? null : Uint8Array.from(readNumbers(mask)),
  };
  return answersOf(scores, null);
}

function firstRows(array: NpyArray, rows: number): NpyArray {
  const rowBytes = array.data.byteLength / (array.shape[0] ?? 1);
  return { ...array, shape: [rows, ...array.shape.slice(1)], data: array.data.subarray(0, rows * rowBytes) };
}

/** The first output for the first rows. */
async function runModel(path: string, inputs: ReadonlyMap<string, NpyArray>, rows: number): Promise<NpyArray> {
  const session = await InferenceSession.create(fileURLToPath(new URL(path, EXAMPLES)), { intraOpNumThreads: 1 });
  const input = session.inputMetadata[0];
  assert.ok(input?.isTensor);
  const array = firstRows(arrayOf(inputs, input.name), rows);
  const numbers = Array.from(readNumbers(array));
  const tensor =
    input.type === "int64"
      ? new Tensor("int64", BigInt64Array.from(numbers, BigInt), array.shape)
      : new Tensor("float32", Float32Array.from(numbers), array.shape);
  const output = (await session.run({ [input.name]: tensor }))[session.outputNames[0] ?? ""];
  assert.ok(output?.data instanceof Float32Array);
  const { data, dims } = output;
  await session.release();
  return { datatype: "FP32", shape: dims, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}
