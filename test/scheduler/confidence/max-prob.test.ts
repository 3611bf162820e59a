import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConfidenceFunction, ScoreKind } from "../../../proto/files/cascade-file.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { confidenceOf } from "../../../scheduler/confidence/confidence.ts";
import { halfToNumber } from "../../../scheduler/confidence/floats.ts";
import { fp32 } from "../../support/tensors.ts";

// Golden vector: logits of eight rows and their max_prob.
const LOGITS = [4, 1, 0, 3, 2.5, 0, 2, 2.2, -1, 5, 0, 0, 0.5, 1, 0.2, 1, 3, 1, 2.5, 2.4, 0, 0, 0.1, 3];
const MAX_PROB = [0.93624, 0.603749, 0.537781, 0.986703, 0.486415, 0.786986, 0.503291, 0.905133];

function maxProb(kind: ScoreKind = "logits", temperature = 1): ConfidenceFunction {
  return { function: "max_prob", kind, outputs: { scores: "logits" }, params: { temperature } };
}

function run(configured: ConfidenceFunction, scores: Tensor, rows: number): Float64Array {
  return confidenceOf(configured)(() => scores, rows);
}

function close(actual: ArrayLike<number>, expected: readonly number[], tolerance = 5e-7): void {
  assert.equal(actual.length, expected.length);
  expected.forEach((value, i) => {
    const difference = Math.abs((actual[i] ?? Number.NaN) - value);
    assert.ok(difference <= tolerance, `row ${i}: ${actual[i]} is not ${value}`);
  });
}

describe("max_prob", () => {
  const scores = fp32("logits", [8, 3], LOGITS);

  it("equals the golden vector from FP32, FP64 and FP16 logits", () => {
    close(run(maxProb(), scores, 8), MAX_PROB);
    const doubles: Tensor = { ...scores, datatype: "FP64", data: new Uint8Array(Float64Array.from(LOGITS).buffer) };
    close(run(maxProb(), doubles, 8), MAX_PROB);
    const halves = Uint16Array.from([0x4400, 0x3c00, 0x0000]); // 4, 1, 0
    const half: Tensor = { ...scores, datatype: "FP16", data: new Uint8Array(halves.buffer) };
    close(run(maxProb(), half, 1), [0.93624]);
  });

  it("reads unaligned bytes", () => {
    const shifted = new Uint8Array(scores.data.byteLength + 1);
    shifted.set(scores.data, 1);
    close(run(maxProb(), { ...scores, data: shifted.subarray(1) }, 8), MAX_PROB);
  });

  it("divides logits by the temperature, and powers probabilities alike", () => {
    const row = [4, 1, 0];
    const sum = row.reduce((total, z) => total + Math.exp(z), 0);
    const probabilities = fp32(
      "p",
      [1, 3],
      row.map((z) => Math.exp(z) / sum),
    );
    const cool = Math.exp(4 / 2) / (Math.exp(4 / 2) + Math.exp(1 / 2) + 1);
    close(run(maxProb("logits", 2), fp32("z", [1, 3], row), 1), [cool]);
    close(run(maxProb("probabilities", 2), probabilities, 1), [cool]);
    close(run(maxProb("probabilities"), probabilities, 1), [MAX_PROB[0] ?? 0]);
  });

  it("takes the surer side of a single sigmoid output and the largest of several", () => {
    close(run(maxProb("sigmoid"), fp32("p", [2, 1], [0.2, 0.7]), 2), [0.8, 0.7]);
    close(run(maxProb("sigmoid"), fp32("p", [1, 3], [0.2, 0.7, 0.4]), 1), [0.7]);
    close(run(maxProb("sigmoid", 2), fp32("p", [1, 1], [0.8]), 1), [1 / (1 + 0.5)]);
  });

  it("is stable for huge logits and NaN for scores that are no numbers", () => {
    close(run(maxProb(), fp32("z", [2, 2], [1e30, -1e30, 3e38, 3e38]), 2), [1, 0.5]);
    const broken = [Number.NaN, 1, Number.POSITIVE_INFINITY, 1, 1, Number.NEGATIVE_INFINITY];
    const confidences = run(maxProb(), fp32("z", [3, 2], broken), 3);
    assert.deepEqual([...confidences], [Number.NaN, Number.NaN, Number.NaN]);
  });

  it("gives nothing for no rows", () => {
    assert.equal(run(maxProb(), fp32("z", [0, 3], []), 0).length, 0);
  });
});

describe("halfToNumber", () => {
  for (const [bits, value] of [
    [0x0000, 0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x0001, 2 ** -24],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0xfc00, Number.NEGATIVE_INFINITY],
    [0x7e00, Number.NaN],
  ] as const) {
    it(`0x${bits.toString(16)} is ${value}`, () => assert.equal(halfToNumber(bits), value));
  }
});
