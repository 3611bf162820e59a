import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { confidenceQuality } from "../../../planner/confidence/quality.ts";
import { applySequence, fitSequence, type SequenceScores } from "../../../planner/confidence/sequence.ts";
import { fp32 } from "../../support/tensors.ts";

const ROWS = 3000;
const TOKENS = 12;

/** Sequences of 1 to 12 tokens. Every token is as sure, whether a sequence is right depends on its mean sureness. */
function sequences(): { readonly recorded: SequenceScores; readonly correct: Uint8Array } {
  let state = 7;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const values: number[] = [];
  const mask: number[] = [];
  const correct = new Uint8Array(ROWS);
  for (let row = 0; row < ROWS; row++) {
    const length = 1 + Math.floor(random() * TOKENS);
    const sureness = random() * 4;
    for (let token = 0; token < TOKENS; token++) {
      values.push(sureness + random() * 3, 0);
      mask.push(token < length ? 1 : 0);
    }
    correct[row] = random() < 1 / (1 + Math.exp(3 - 2 * sureness)) ? 1 : 0;
  }
  const scores = fp32("scores", [ROWS, TOKENS, 2], values);
  return { recorded: { scores, mask: fp32("mask", [ROWS, TOKENS], mask), rows: ROWS, kind: "logits" }, correct };
}

describe("fitSequence", () => {
  const { recorded, correct } = sequences();

  it("undoes that the smallest of more tokens is smaller: better ranking and calibration", () => {
    const plain = { function: "min_token", kind: "logits", params: {} } as const;
    const before = confidenceQuality(applySequence(plain, recorded), correct);
    const fitted = fitSequence("min_token", recorded, correct);
    const after = confidenceQuality(applySequence(fitted, recorded), correct);
    assert.ok(Number(fitted.params["length"]) > 0.1, `${fitted.params["length"]}`);
    assert.ok(after.auroc > before.auroc + 0.001, `${before.auroc} ${after.auroc}`);
    assert.ok(before.ece > 0.1 && after.ece < 0.03, `${before.ece} ${after.ece}`);
  });

  it("keeps the summary's own parameters", () => {
    const { params } = fitSequence("quantile", recorded, correct, { r: 0.25, temperature: 2 });
    assert.equal(params["r"], 0.25);
    assert.equal(params["temperature"], 2);
    assert.deepEqual(Object.keys(params).sort(), ["alpha", "beta", "length", "r", "temperature"]);
  });

  it("refuses other functions and labels that do not fit", () => {
    assert.throws(() => fitSequence("max_prob", recorded, correct), /'max_prob' is no function of token scores/);
    assert.throws(() => fitSequence("min_token", recorded, new Uint8Array(2)), /2 labels do not fit 3000 sequences/);
  });
});
