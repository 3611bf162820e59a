import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConfidenceFunction, ScoreKind } from "../../../proto/files/cascade-file.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { confidenceOf } from "../../../scheduler/confidence/confidence.ts";
import { fp32 } from "../../support/tensors.ts";

type Params = ConfidenceFunction["params"];

function run(name: string, params: Params, scores: Tensor, rows: number, kind: ScoreKind = "logits"): Float64Array {
  return confidenceOf({ function: name, kind, params, outputs: { scores: "s" } })(() => scores, rows);
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

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

describe("functions of sequences", () => {
  // Two rows of three tokens of two classes; max_prob of each token.
  const tokenQ = [
    [0.9, 0.6, 0.8],
    [0.7, 0.95, 0.51],
  ];
  const values = tokenQ.flat().flatMap((q) => [q, 1 - q]);
  const scores = fp64("s", [2, 3, 2], values);
  const mask = fp32("m", [2, 3], [1, 0, 1, 0, 1, 1]);
  const masked = (name: string, params: Params = {}) =>
    confidenceOf({ function: name, kind: "probabilities", params, outputs: { scores: "s", mask: "m" } });
  const tensors = (role: string) => (role === "mask" ? mask : scores);

  it("min_token, mean_log and quantile sum up the tokens", () => {
    const mean = tokenQ.map((row) => row.reduce((product, q) => product * q, 1) ** (1 / 3));
    close(run("min_token", {}, scores, 2, "probabilities"), [0.6, 0.51], 1e-12);
    close(run("mean_log", {}, scores, 2, "probabilities"), mean, 1e-12);
    close(run("quantile", { r: 0 }, scores, 2, "probabilities"), [0.6, 0.51], 1e-12);
    close(run("quantile", { r: 0.5 }, scores, 2, "probabilities"), [0.8, 0.7], 1e-12);
    close(run("quantile", { r: 1 }, scores, 2, "probabilities"), [0.9, 0.95], 1e-12);
  });

  it("leaves out the tokens that the mask leaves out, whatever its type and their scores", () => {
    close(masked("min_token")(tensors, 2), [0.8, 0.51], 1e-12);
    close(masked("mean_log")(tensors, 2), [Math.sqrt(0.72), Math.sqrt(0.95 * 0.51)], 1e-12);
    close(masked("quantile", { r: 0.5 })(tensors, 2), [0.8, 0.51], 1e-12);
    const long: Tensor = {
      name: "m",
      datatype: "INT64",
      shape: [2, 3],
      data: new Uint8Array(BigInt64Array.from([1n, 0n, 256n, 0n, 1n, 1n]).buffer),
    };
    close(
      masked("min_token")((role) => (role === "mask" ? long : scores), 2),
      [0.8, 0.51],
      1e-12,
    );
    const padded = fp64("s", [2, 3, 2], values.with(2, Number.NaN));
    close(
      masked("min_token")((role) => (role === "mask" ? mask : padded), 2),
      [0.8, 0.51],
      1e-12,
    );
  });

  it("is NaN where a token that counts is not finite, or none counts", () => {
    const broken = fp64("s", [2, 3, 2], values.with(0, Number.NaN));
    const q = masked("mean_log")((role) => (role === "mask" ? mask : broken), 2);
    assert.ok(Number.isNaN(q[0]) && !Number.isNaN(q[1]));
    const none = fp32("m", [2, 3], [0, 0, 0, 1, 1, 1]);
    assert.ok(Number.isNaN(masked("min_token")((role) => (role === "mask" ? none : scores), 2)[0]));
  });

  it("evens out the length and calibrates", () => {
    const q = masked("min_token", { alpha: 2, beta: -0.3, length: 0.5 })(tensors, 2);
    const by = (m: number) => sigmoid(2 * Math.log(m / (1 - m)) - 0.3 + 0.5 * Math.log(2));
    close(q, [by(0.8), by(0.51)], 1e-12);
    close(
      masked("min_token", { length: 0.5 })(tensors, 2),
      [0.8, 0.51].map((m) => sigmoid(Math.log(m / (1 - m)) + Math.log(2) / 2)),
      1e-12,
    );
  });

  it("qa_span is the smaller of start and end", () => {
    const span = confidenceOf({
      function: "qa_span",
      kind: "probabilities",
      params: {},
      outputs: { start: "a", end: "b" },
    });
    const ends: Readonly<Record<string, Tensor>> = {
      start: fp64("a", [2, 2], [0.9, 0.1, 0.2, 0.8]),
      end: fp64("b", [2, 2], [0.6, 0.4, Number.NaN, 1]),
    };
    const q = span((role) => ends[role] ?? scores, 2);
    close(q.subarray(0, 1), [0.6], 1e-12);
    assert.ok(Number.isNaN(q[1]));
  });

  it("model_output takes the model's own score, a logit through the sigmoid", () => {
    const own = fp64("s", [4, 1], [0.3, 1.5, -1, Number.NaN]);
    assert.deepEqual([...run("model_output", {}, own, 4, "probabilities")], [0.3, 1, 0, Number.NaN]);
    close(run("model_output", {}, fp64("s", [2], [0, 3]), 2), [0.5, sigmoid(3)], 1e-12);
  });
});
