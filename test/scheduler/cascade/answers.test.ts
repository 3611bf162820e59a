import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConfidenceFunction } from "../../../proto/files/cascade-file.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { answerOutputs, rowAnswer, sameAnswer } from "../../../scheduler/cascade/answers.ts";
import { cascadeFile, level, point } from "../../support/cascades.ts";
import { bytes, fp32, spec } from "../../support/tensors.ts";

/** Whether the first row of both answers alike, under this confidence of the first level (the last has none). */
function alike(confidence: ConfidenceFunction, a: readonly Tensor[], b: readonly Tensor[]): boolean {
  const file = cascadeFile([level("xs", { confidence }), level("l", { confidence: null })], [point("AP", [])]);
  const outputs = a.map((tensor) => spec(tensor.name, tensor.shape.slice(1), tensor.datatype));
  const by = answerOutputs(file, outputs);
  return sameAnswer(rowAnswer(a, 0, by), rowAnswer(b, 0, by));
}

const by = (name: string, outputs: Record<string, string>, kind: ConfidenceFunction["kind"] = "logits") => {
  return { function: name, kind, outputs, params: {} };
};

describe("answers are alike", () => {
  it("where the most likely class is", () => {
    const maxProb = by("max_prob", { scores: "y" });
    const scores = (...values: number[]) => [fp32("y", [1, 3], values)];
    assert.ok(alike(maxProb, scores(1, 5, 2), scores(0, 0.1, 0)));
    assert.ok(!alike(maxProb, scores(1, 5, 2), scores(0, 0.1, 0.2)));
  });

  it("where a single score is on the same side of one half", () => {
    const one = (value: number) => [fp32("y", [1, 1], [value])];
    assert.ok(!alike(by("max_prob", { scores: "y" }, "sigmoid"), one(0.6), one(0.4)));
    assert.ok(alike(by("max_prob", { scores: "y" }, "logits"), one(0.6), one(0.4)));
  });

  it("where every token that counts is", () => {
    const tokens = by("min_token", { scores: "y", mask: "m" });
    const row = (second: number, counts: number) => [
      fp32("y", [1, 2, 2], [3, 1, second, 1]),
      fp32("m", [1, 2], [1, counts]),
    ];
    assert.ok(!alike(tokens, row(0, 1), row(2, 1)));
    assert.ok(alike(tokens, row(0, 0), row(2, 0)));
    assert.ok(!alike(tokens, row(0, 0), row(0, 1)));
  });

  it("where both ends of a span are", () => {
    const span = by("qa_span", { start: "s", end: "e" });
    const ends = (start: number, end: number) => [
      fp32(
        "s",
        [1, 3],
        [0, 1, 2].map((i) => (i === start ? 1 : 0)),
      ),
      fp32(
        "e",
        [1, 3],
        [0, 1, 2].map((i) => (i === end ? 1 : 0)),
      ),
    ];
    assert.ok(alike(span, ends(0, 2), ends(0, 2)));
    assert.ok(!alike(span, ends(0, 2), ends(0, 1)));
  });

  it("whatever a model says of its own confidence", () => {
    const own = by("model_output", { scores: "q" });
    const said = (q: number, word: string) => [fp32("q", [1, 1], [q]), bytes("text", [1, 1], [word])];
    assert.ok(alike(own, said(0.9, "cat"), said(0.1, "cat")));
    assert.ok(!alike(own, said(0.9, "cat"), said(0.9, "dog")));
  });
});
