import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InferenceError } from "../../../proto/errors.ts";
import type { ConfidenceFunction, ScoreKind } from "../../../proto/files/cascade-file.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { CONFIDENCE_FUNCTIONS, confidenceOf, rolesOf } from "../../../scheduler/confidence/confidence.ts";
import { fp32 } from "../../support/tensors.ts";

type Params = ConfidenceFunction["params"];

// Golden vectors of hybridserve.md 3.1: logits of eight rows.
const LOGITS = [4, 1, 0, 3, 2.5, 0, 2, 2.2, -1, 5, 0, 0, 0.5, 1, 0.2, 1, 3, 1, 2.5, 2.4, 0, 0, 0.1, 3];
const GOLDEN: Readonly<Record<string, readonly number[]>> = {
  max_prob: [0.93624, 0.603749, 0.537781, 0.986703, 0.486415, 0.786986, 0.503291, 0.905133],
  margin: [0.889627, 0.237557, 0.097483, 0.980055, 0.191389, 0.680479, 0.047894, 0.855329],
  entropy: [0.750309, 0.291953, 0.291369, 0.9273, 0.050571, 0.39417, 0.239579, 0.654751],
};

/** Parameters with which each function of class scores can run on three classes. */
const HEAD = { k: 2, mean: [-0.5, -1, 0.5, 0.5, 0], scale: [1, 2, 1, 0.5, 1] };
const CLASS_PARAMS: Readonly<Record<string, Params>> = {
  max_prob: {},
  margin: {},
  entropy: {},
  temperature: { temperature: 0.697573 },
  platt: { alpha: 1.867857, beta: -0.128173 },
  platt_bin: { alpha: 1.867857, beta: -0.128173, edges: [0.5, 0.9], values: [0.3, 0.7, 0.95] },
  isotonic: { x: [0.4, 0.6, 0.9], y: [0.1, 0.5, 1] },
  logistic_topk: { ...HEAD, weights: [1, -0.5, 0.25, 0.5, 0], intercept: 0.1 },
  benefit: {
    ...HEAD,
    weightsThis: [1, -0.5, 0.25, 0.5, 0],
    interceptThis: 0.1,
    weightsLast: [0.1, 0, 0, 0, 0],
    interceptLast: 2,
  },
};

function configured(name: string, params: Params = {}, kind: ScoreKind = "logits"): ConfidenceFunction {
  return { function: name, kind, params, outputs: { scores: "s" } };
}

function run(name: string, params: Params, scores: Tensor, rows: number, kind: ScoreKind = "logits"): Float64Array {
  return confidenceOf(configured(name, params, kind))(() => scores, rows);
}

function close(actual: ArrayLike<number>, expected: readonly number[], tolerance = 5.1e-7): void {
  assert.equal(actual.length, expected.length);
  expected.forEach((value, i) => {
    const difference = Math.abs((actual[i] ?? Number.NaN) - value);
    assert.ok(difference <= tolerance, `row ${i}: ${actual[i]} is not ${value}`);
  });
}

function fp64(name: string, shape: readonly number[], values: readonly number[]): Tensor {
  return { name, datatype: "FP64", shape, data: new Uint8Array(Float64Array.from(values).buffer) };
}

function softmax(logits: readonly number[]): number[] {
  const sum = logits.reduce((total, z) => total + Math.exp(z), 0);
  return logits.map((z) => Math.exp(z) / sum);
}

const rowsOf = (values: readonly number[], width: number) =>
  Array.from({ length: values.length / width }, (_, row) => values.slice(row * width, (row + 1) * width));
const PROBABILITIES = rowsOf(LOGITS, 3).flatMap(softmax);
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

describe("functions of class scores", () => {
  for (const [name, expected] of Object.entries(GOLDEN)) {
    it(`${name} equals the golden vector to the printed digits`, () => {
      close(run(name, {}, fp32("s", [8, 3], LOGITS), 8), expected, 6e-7);
      close(run(name, {}, fp64("s", [8, 3], LOGITS), 8), expected);
    });
  }

  it("temperature is max_prob of the divided logits", () => {
    const divided = LOGITS.map((z) => z / 0.697573);
    const expected = rowsOf(divided, 3).map((row) => Math.max(...softmax(row)));
    close(run("temperature", { temperature: 0.697573 }, fp64("s", [8, 3], LOGITS), 8), expected, 1e-12);
  });

  it("platt, platt_bin and isotonic map max_prob", () => {
    const m = GOLDEN["max_prob"] ?? [];
    const platt = m.map((q) => sigmoid(1.867857 * Math.log(q / (1 - q)) - 0.128173));
    const scores = fp64("s", [8, 3], LOGITS);
    close(run("platt", CLASS_PARAMS["platt"] ?? {}, scores, 8), platt, 2e-6);
    const binned = platt.map((q) => (q >= 0.9 ? 0.95 : q >= 0.5 ? 0.7 : 0.3));
    assert.deepEqual([...run("platt_bin", CLASS_PARAMS["platt_bin"] ?? {}, scores, 8)], binned);
    const isotonic = m.map((q) => (q >= 0.9 ? 1 : q >= 0.6 ? 0.5 + (q - 0.6) / 0.6 : 0.1 + (q - 0.4) * 2));
    close(run("isotonic", CLASS_PARAMS["isotonic"] ?? {}, scores, 8), isotonic, 2e-6);
  });

  it("logistic_topk and benefit are logistic in the standardised features", () => {
    const logits = [2, 2.2, -1];
    const [p1 = 0, p2 = 0, p3 = 0] = softmax(logits).sort((a, b) => b - a);
    const certainty = 1 + (p1 * Math.log(p1) + p2 * Math.log(p2) + p3 * Math.log(p3)) / Math.log(3);
    const logSumExp = Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0));
    const phi = [Math.log(p1), Math.log(p2), p1 - p2, certainty, logSumExp];
    const head = (weights: readonly number[], intercept: number) =>
      sigmoid(
        weights.reduce(
          (sum, w, i) => sum + (w * ((phi[i] ?? 0) - (HEAD.mean[i] ?? 0))) / (HEAD.scale[i] ?? 1),
          intercept,
        ),
      );
    const scores = fp64("s", [1, 3], logits);
    const weights = [1, -0.5, 0.25, 0.5, 0.2];
    const gThis = head(weights, 0.1);
    close(run("logistic_topk", { ...HEAD, weights, intercept: 0.1 }, scores, 1), [gThis], 1e-12);
    const twoHeads = { ...HEAD, weightsThis: weights, interceptThis: 0.1, weightsLast: [0, 0, 0, 0, 0] };
    close(run("benefit", { ...twoHeads, interceptLast: 3 }, scores, 1), [1 - (sigmoid(3) - gThis)], 1e-12);
    close(run("benefit", { ...twoHeads, interceptLast: -3 }, scores, 1), [1], 0);
  });

  for (const [name, params] of Object.entries(CLASS_PARAMS)) {
    it(`${name}: equal from logits and their probabilities, from halves; stable; NaN where not finite`, () => {
      const fromLogits = run(name, params, fp64("s", [8, 3], LOGITS), 8);
      close(run(name, params, fp64("s", [8, 3], PROBABILITIES), 8, "probabilities"), [...fromLogits], 1e-9);

      const halves = Uint16Array.from([0x4400, 0x3c00, 0x0000]); // 4, 1, 0
      const half: Tensor = { name: "s", datatype: "FP16", shape: [1, 3], data: new Uint8Array(halves.buffer) };
      close(run(name, params, half, 1), [fromLogits[0] ?? Number.NaN], 1e-12);

      const huge = run(name, params, fp64("s", [2, 3], [1e308, -1e308, 0, 3e38, 3e38, 3e38]), 2);
      assert.ok(
        huge.every((q) => q >= 0 && q <= 1),
        `${[...huge]}`,
      );
      const certain = run(name, params, fp64("s", [1, 3], [0, 1, 0]), 1, "probabilities");
      assert.ok((certain[0] ?? -1) >= 0 && (certain[0] ?? 2) <= 1, `${[...certain]}`);

      for (const kind of ["logits", "probabilities", "sigmoid"] as const) {
        for (const broken of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
          const q = run(name, params, fp32("s", [2, 3], [0.2, broken, 0.1, 0.3, 0.5, 0.2]), 2, kind);
          assert.ok(Number.isNaN(q[0]), `${kind} ${broken}: ${q[0]}`);
          assert.ok((q[1] ?? -1) >= 0, `${kind}: the row behind it counts, ${q[1]}`);
        }
      }
      assert.ok(Number.isNaN(run(name, params, fp32("s", [1, 3], [0, 0, 0]), 1, "probabilities")[0]));
      assert.equal(run(name, params, fp32("s", [0, 3], []), 0).length, 0);
    });
  }

  it("keeps the ends of the entropy form: 0 for equal scores, 1 for one class", () => {
    close(run("entropy", {}, fp32("s", [1, 4], [7, 7, 7, 7]), 1), [0], 1e-12);
    close(run("entropy", {}, fp32("s", [2, 1], [7, -3]), 2), [1, 1], 0);
    close(run("margin", {}, fp32("s", [1, 1], [7]), 1), [1], 0);
  });

  it("reads a sigmoid output as two classes where it is alone, else as independent ones", () => {
    close(run("margin", {}, fp64("s", [1, 1], [0.2]), 1, "sigmoid"), [0.6], 1e-12);
    close(run("margin", {}, fp64("s", [1, 3], [0.2, 0.9, 0.7]), 1, "sigmoid"), [0.2], 1e-12);
    close(run("entropy", {}, fp64("s", [2, 1], [0.5, 1]), 2, "sigmoid"), [0, 1], 1e-12);
    close(run("entropy", {}, fp64("s", [1, 2], [0.5, 1]), 1, "sigmoid"), [0.5], 1e-12);
  });

  it("finds the largest scores of a long row wherever they are", () => {
    const row = Array.from({ length: 1000 }, (_, i) => Math.sin(i * 12.9898) * 3);
    const p = softmax(row).sort((a, b) => b - a);
    const params = { k: 10, mean: new Array(13).fill(0), scale: new Array(13).fill(1) };
    for (const i of [0, 1, 9]) {
      const weights = Array.from({ length: 13 }, (_, j) => (i === j ? 1 : 0));
      const q = run("logistic_topk", { ...params, weights, intercept: 5 }, fp64("s", [1, 1000], row), 1);
      close(q, [sigmoid(5 + Math.log(p[i] ?? 0))], 1e-12);
    }
  });
});

describe("confidenceOf refuses", () => {
  const refusals: readonly (readonly [string, Params, RegExp])[] = [
    ["softmax", {}, /'softmax' is unknown; known: max_prob, temperature, margin/],
    ["toString", {}, /'toString' is unknown/],
    ["max_prob", { k: 5 }, /'max_prob': has no parameter 'k'/],
    ["max_prob", { temperature: 0 }, /'temperature' must be a number above 0/],
    ["temperature", {}, /needs the parameter 'temperature'/],
    ["platt", { alpha: 1 }, /needs the parameter 'beta'/],
    ["platt", { alpha: [1], beta: 1 }, /'alpha' must be a number/],
    ["platt_bin", { alpha: 1, beta: 0, edges: [0.5], values: [1] }, /'values' has 1 numbers; it needs 2/],
    ["platt_bin", { alpha: 1, beta: 0, edges: [0.5, 0.4], values: [0, 1, 1] }, /'edges' must not descend/],
    ["isotonic", { x: [0.5, 0.5], y: [0, 1] }, /'x' must be ascending/],
    ["isotonic", { x: [0.5, 0.6], y: [1, 0] }, /'y' must not descend/],
    ["logistic_topk", { ...HEAD, weights: [1], intercept: 0 }, /'weights' has 1 numbers; it needs 5/],
    ["logistic_topk", { ...HEAD, k: 1.5 }, /'k' must be a whole number/],
    ["logistic_topk", { ...HEAD, scale: [1, 1, 0, 1, 1] }, /'scale' must be numbers above 0/],
    ["quantile", {}, /needs the parameter 'r'/],
    ["quantile", { r: 2 }, /'r' must lie in 0..1/],
    ["model_output", { temperature: 1 }, /has no parameter 'temperature'/],
  ];
  for (const [name, params, text] of refusals) {
    it(`${name} ${JSON.stringify(params)}`, () => {
      assert.throws(
        () => confidenceOf(configured(name, params)),
        (error) => error instanceof InferenceError && error.code === "INVALID_ARGUMENT" && text.test(error.message),
      );
    });
  }

  it("tensors of a wrong type or shape", () => {
    const whole: Tensor = { ...fp32("s", [1, 2], [1, 2]), datatype: "INT32" };
    assert.throws(() => run("max_prob", {}, whole, 1), /tensor 's' has datatype INT32/);
    assert.throws(() => run("max_prob", {}, fp32("s", [3], [1, 2, 3]), 2), /does not hold 2 rows of 1 or more scores/);
    assert.throws(
      () => run("logistic_topk", CLASS_PARAMS["logistic_topk"] ?? {}, fp32("s", [1, 1], [1]), 1),
      /of 2 or more/,
    );
    assert.throws(() => run("min_token", {}, fp32("s", [2, 2], [1, 2, 3, 4]), 2), /\[2 rows, tokens, classes\]/);
    assert.throws(() => run("model_output", {}, fp32("s", [1, 2], [1, 2]), 1), /one number for each of 1 rows/);
  });
});

describe("rolesOf", () => {
  it("names the tensors of every function", () => {
    assert.deepEqual(rolesOf("qa_span"), ["start", "end"]);
    assert.deepEqual(rolesOf("min_token"), ["scores", "mask"]);
    assert.deepEqual(rolesOf("benefit"), ["scores"]);
    assert.throws(() => rolesOf("other"), /'other' is unknown/);
    assert.equal(CONFIDENCE_FUNCTIONS.length, 14);
  });
});
