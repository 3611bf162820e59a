/** Recorded scores: half precision must not change an answer. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { firstHighest, halvesKeepingAnswers } from "../../examples/half-scores.ts";
import { halfToNumber } from "../../scheduler/confidence/floats.ts";

const CLASSES = 3;

function recorded(values: readonly number[], step: number | null): Float32Array {
  return Float32Array.from(halvesKeepingAnswers(Float32Array.from(values), CLASSES, step), halfToNumber);
}

describe("scores in half precision", () => {
  it("are the nearest halves where the answer stays", () => {
    assert.deepEqual([...recorded([1, 2.0001, -3.5], null)], [1, 2, -3.5]);
  });

  it("are multiples of a step", () => {
    assert.deepEqual([...recorded([1.04, 2.3, -3.49], 0.25)], [1, 2.25, -3.5]);
  });

  for (const [name, scores] of [
    ["positive", [8.001, 8.002, 0]],
    ["negative", [-8.002, -8.001, -9]],
    ["at a power of two", [-1.0001, -1, -2]],
    ["around zero", [0, 1e-9, -1]],
    ["of three classes", [5.0001, 5.0002, 5.0003]],
  ] as const) {
    for (const step of [null, 0.25]) {
      it(`keep the answer of scores that rounding makes equal: ${name}, step ${step}`, () => {
        const before = firstHighest(Float32Array.from(scores));
        assert.equal(firstHighest(recorded(scores, step)), before);
      });
    }
  }

  it("stay equal where they were, and the first of them is the answer", () => {
    assert.deepEqual([...recorded([2, 2, 1], null)], [2, 2, 1]);
  });

  it("refuse what a half cannot hold", () => {
    assert.throws(() => recorded([70_000, 0, 0], null), /do not fit half precision/);
    assert.throws(() => recorded([0, Number.NaN, 0], null), /do not fit half precision/);
  });
});
