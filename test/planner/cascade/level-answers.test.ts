import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  answersOf,
  correctRows,
  guessKind,
  numberAnswers,
  type Scores,
} from "../../../planner/cascade/level-answers.ts";

function scores(values: readonly number[], classes: number, overrides: Partial<Scores> = {}): Scores {
  const tokens = overrides.tokens ?? 1;
  return {
    values: Float64Array.from(values),
    rows: values.length / classes / tokens,
    tokens,
    classes,
    kind: "logits",
    mask: null,
    ...overrides,
  };
}

describe("answersOf", () => {
  it("takes the first of the largest scores and never a NaN", () => {
    const answers = answersOf(scores([1, 3, 3, Number.NaN, -5, -7], 3), null);
    assert.deepEqual([...answers.classes], [1, 1]);
  });

  it("renames classes by the label map", () => {
    assert.deepEqual([...answersOf(scores([0, 9, 0], 3), [2, 0, 1]).classes], [0]);
  });

  it("reads a single score as yes or no", () => {
    assert.deepEqual([...answersOf(scores([-1, 0.2], 1), null).classes], [0, 1]);
    assert.deepEqual([...answersOf(scores([0.4, 0.6], 1, { kind: "sigmoid" }), null).classes], [0, 1]);
  });

  it("leaves out masked tokens", () => {
    const answers = answersOf(scores([1, 0, 0, 1], 2, { tokens: 2, mask: Uint8Array.of(1, 0) }), null);
    assert.deepEqual([...answers.classes], [0, -1]);
  });
});

describe("correctRows", () => {
  it("wants every token that counts right", () => {
    const answers = { classes: Int32Array.of(1, 2, 1, 3, 1, -1), tokens: 2 };
    const labels = { values: Int32Array.of(1, 2, 1, 2, 1, 9), tokens: 2 };
    assert.deepEqual([...correctRows(answers, labels)], [1, 0, 1]);
    assert.deepEqual([...correctRows(answers, { ...labels, values: Int32Array.of(1, 2, 1, -1, 0, 9) })], [1, 1, 0]);
  });

  it("refuses labels that do not line up", () => {
    assert.throws(
      () => correctRows({ classes: Int32Array.of(1, 2), tokens: 2 }, { values: Int32Array.of(1), tokens: 1 }),
      /labels are 1 a row, the levels answer 2 a row/,
    );
  });
});

it("numberAnswers gives equal sequences equal numbers across levels, and different ones different numbers", () => {
  const [a, b] = numberAnswers([
    { classes: Int32Array.of(1, 2, 3, 4), tokens: 2 },
    { classes: Int32Array.of(1, 2, 3, 5), tokens: 2 },
  ]);
  assert.equal(a?.[0], b?.[0]);
  assert.notEqual(a?.[1], b?.[1]);
  assert.notEqual(a?.[0], a?.[1]);
});

it("guessKind tells logits, probabilities and sigmoid outputs", () => {
  assert.equal(guessKind([2, -1, 0.5, 0.5], 2), "logits");
  assert.equal(guessKind([0.3, 0.7, 1, 0], 2), "probabilities");
  assert.equal(guessKind([0.3, 0.9, 1, 0], 2), "sigmoid");
  assert.equal(guessKind([0.3, 0.9], 1), "sigmoid");
});
