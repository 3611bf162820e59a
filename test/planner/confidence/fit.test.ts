import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AUTO_CANDIDATES, chooseConfidence } from "../../../planner/confidence/choose.ts";
import { FITTED_FUNCTIONS, type FitData, fitConfidence } from "../../../planner/confidence/fit.ts";
import { fitIsotonic } from "../../../planner/confidence/isotonic.ts";
import { confidenceQuality, placements } from "../../../planner/confidence/quality.ts";
import { applyConfidence, type LevelScores } from "../../../planner/confidence/scores.ts";
import { labelLoss } from "../../../planner/confidence/temperature.ts";

// Golden vectors of hybridserve.md 3.1.
const GOLDEN: LevelScores = {
  values: Float64Array.from([4, 1, 0, 3, 2.5, 0, 2, 2.2, -1, 5, 0, 0, 0.5, 1, 0.2, 1, 3, 1, 2.5, 2.4, 0, 0, 0.1, 3]),
  rows: 8,
  classes: 3,
  kind: "logits",
};
const LABELS = Int32Array.from([0, 1, 1, 0, 0, 1, 0, 2]);
const CORRECT = Uint8Array.from([1, 0, 1, 1, 0, 1, 1, 1]);

function near(actual: number | undefined, expected: number, tolerance = 5.1e-7): void {
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) <= tolerance, `${actual} is not ${expected}`);
}

function numberOf(value: number | readonly number[] | undefined): number {
  return typeof value === "number" ? value : Number.NaN;
}

/** Numbers in 0..1 that look random and are the same every time (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Population extends FitData {
  readonly scores: LevelScores & { readonly values: Float64Array };
  readonly labels: Int32Array;
  readonly lastCorrect: Uint8Array;
}

/** Rows whose label is drawn from softmax(z / 2): T = 2 is right. The last level is right in 95 %. */
function population(seed: number, rows: number, classes = 4): Population {
  const random = randomFrom(seed);
  const values = Float64Array.from({ length: rows * classes }, () => (random() + random() + random() - 1.5) * 8);
  const labels = new Int32Array(rows);
  const correct = new Uint8Array(rows);
  for (let row = 0; row < rows; row++) {
    const z = values.subarray(row * classes, (row + 1) * classes);
    const weights = Array.from(z, (value) => Math.exp(value / 2));
    let left = random() * weights.reduce((sum, w) => sum + w, 0);
    let label = 0;
    while (label < classes - 1 && left >= (weights[label] ?? 0)) left -= weights[label++] ?? 0;
    labels[row] = label;
    correct[row] = z.indexOf(Math.max(...z)) === label ? 1 : 0;
  }
  const lastCorrect = Uint8Array.from({ length: rows }, () => (random() < 0.95 ? 1 : 0));
  return { scores: { values, rows, classes, kind: "logits" }, labels, correct, lastCorrect };
}

describe("golden vectors", () => {
  it("temperature", () => {
    const fitted = fitConfidence("temperature", { scores: GOLDEN, correct: CORRECT, labels: LABELS });
    const temperature = numberOf(fitted.params["temperature"]);
    near(temperature, 0.697573);
    near(labelLoss(GOLDEN, LABELS, 1), 0.493834);
    near(labelLoss(GOLDEN, LABELS, temperature), 0.473837);
  });

  it("platt", () => {
    const { params } = fitConfidence("platt", { scores: GOLDEN, correct: CORRECT });
    near(numberOf(params["alpha"]), 1.867857);
    near(numberOf(params["beta"]), -0.128173);
  });
});

describe("fits", () => {
  const data = population(1, 4000);

  it("finds the temperature that the labels were drawn with, from logits and probabilities", () => {
    const temperature = numberOf(fitConfidence("temperature", data).params["temperature"]);
    near(temperature, 2, 0.1);
    const { values, classes } = data.scores;
    const probabilities = values.slice();
    for (let start = 0; start < values.length; start += classes) {
      const sum = values.subarray(start, start + classes).reduce((total, z) => total + Math.exp(z), 0);
      for (let i = start; i < start + classes; i++) probabilities[i] = Math.exp(values[i] ?? 0) / sum;
    }
    const scores: LevelScores = { ...data.scores, values: probabilities, kind: "probabilities" };
    near(numberOf(fitConfidence("temperature", { ...data, scores }).params["temperature"]), temperature, 1e-6);
  });

  it("fits a temperature to single and independent sigmoid outputs", () => {
    const random = randomFrom(5);
    const logits = Array.from({ length: 4000 }, () => (random() - 0.5) * 12);
    const values = Float64Array.from(logits, (z) => 1 / (1 + Math.exp(-z)));
    const labels = Int32Array.from(logits, (z) => (random() < 1 / (1 + Math.exp(-z / 2)) ? 1 : 0));
    const correct = labels.map((label, i) => (label === ((logits[i] ?? 0) > 0 ? 1 : 0) ? 1 : 0));
    const scores: LevelScores = { values, rows: 4000, classes: 1, kind: "sigmoid" };
    const fitted = fitConfidence("temperature", { scores, labels, correct: Uint8Array.from(correct) });
    near(numberOf(fitted.params["temperature"]), 2, 0.15);
  });

  for (const name of ["temperature", "platt", "platt_bin", "isotonic", "logistic_topk"]) {
    it(`${name} calibrates: less NLL, ECE and Brier than max_prob on other rows`, () => {
      const judge = population(2, 4000);
      const before = confidenceQuality(applyConfidence(fitConfidence("max_prob", data), judge.scores), judge.correct);
      const after = confidenceQuality(applyConfidence(fitConfidence(name, data), judge.scores), judge.correct);
      assert.ok(before.ece > 0.1, `${before.ece}`);
      assert.ok(after.ece < 0.03, `${after.ece}`);
      assert.ok(after.brier < before.brier && after.nll < before.nll);
    });
  }

  it("benefit is lowest where the last level gains most", () => {
    const q = applyConfidence(fitConfidence("benefit", data), data.scores);
    const gains = (rows: number[]) =>
      rows.reduce((sum, row) => sum + (data.lastCorrect[row] ?? 0) - (data.correct[row] ?? 0), 0) / rows.length;
    const order = Array.from(q.keys()).sort((a, b) => (q[a] ?? 0) - (q[b] ?? 0));
    const [worst, best] = [gains(order.slice(0, 1000)), gains(order.slice(-1000))];
    assert.ok(worst > best + 0.2, `${worst} ${best}`);
  });

  it("leaves out rows that are not finite, and serves every fit with the server's functions", () => {
    const values = Float64Array.from([...data.scores.values, Number.NaN, 0, 0, 0]);
    const broken: FitData = {
      scores: { ...data.scores, values, rows: data.scores.rows + 1 },
      labels: Int32Array.from([...data.labels, 0]),
      correct: Uint8Array.from([...data.correct, 1]),
      lastCorrect: Uint8Array.from([...data.lastCorrect, 1]),
    };
    for (const name of FITTED_FUNCTIONS) {
      const fitted = fitConfidence(name, broken);
      assert.deepEqual(fitted, fitConfidence(name, data), name);
      const q = applyConfidence(fitted, broken.scores);
      assert.ok(Number.isNaN(q.at(-1)), name);
      assert.ok(
        q.subarray(0, -1).every((value) => value >= 0 && value <= 1),
        name,
      );
    }
  });

  it("refuses what cannot be fitted", () => {
    const allRight = { ...data, correct: data.correct.map(() => 1) };
    assert.throws(() => fitConfidence("platt", allRight), /4000 are answered right: a confidence cannot be fitted/);
    const { scores, correct } = data;
    assert.throws(() => fitConfidence("temperature", { scores, correct }), /'temperature' needs labels/);
    assert.throws(() => fitConfidence("benefit", { scores, correct }), /needs the last level's answers/);
    assert.throws(() => fitConfidence("min_token", data), /'min_token' is not fitted .* max_prob, margin/);
    const labels = data.labels.with(3, 4);
    assert.throws(
      () => fitConfidence("temperature", { ...data, labels }),
      /label 4 of row 3 is no class: they are 0 to 3/,
    );
    assert.throws(() => fitConfidence("platt", { ...data, correct: new Uint8Array(3) }), /are not 4000 rows/);
  });
});

describe("fitIsotonic", () => {
  it("pools violators and equal confidences", () => {
    const knots = fitIsotonic(
      Float64Array.from([0.9, 0.1, 0.3, 0.2, 0.3, Number.NaN]),
      Uint8Array.from([1, 0, 0, 1, 1, 1]),
    );
    assert.deepEqual(knots, { x: [0.1, 0.2, 0.3, 0.9], y: [0, 2 / 3, 2 / 3, 1] });
  });
});

describe("confidenceQuality", () => {
  it("equals figures by hand", () => {
    const quality = confidenceQuality(Float64Array.from([0.9, 0.8, 0.8, 0.2]), Uint8Array.from([1, 1, 0, 0]));
    near(quality.nll, -(Math.log(0.9) + Math.log(0.8) + Math.log(0.2) + Math.log(0.8)) / 4, 1e-12);
    near(quality.brier, (0.01 + 0.04 + 0.64 + 0.04) / 4, 1e-12);
    near(quality.auroc, 3.5 / 4, 1e-12);
    near(quality.ece, (0.1 + 2 * 0.3 + 0.2) / 4, 1e-12);
    assert.deepEqual(
      quality.bins.filter((bin) => bin.rows > 0).map((bin) => [bin.rows, bin.accuracy]),
      [
        [1, 0],
        [2, 0.5],
        [1, 1],
      ],
    );
  });

  it("counts NaN as 0, and has no AUROC where all are right", () => {
    const quality = confidenceQuality(Float64Array.from([Number.NaN, 1]), Uint8Array.from([1, 1]));
    assert.equal(quality.nonFiniteRows, 1);
    near(quality.brier, 0.5, 1e-12);
    assert.ok(Number.isNaN(quality.auroc));
  });

  it("is kept in AUROC by maps that keep the order", () => {
    const random = randomFrom(9);
    for (let round = 0; round < 50; round++) {
      const q = Float64Array.from({ length: 60 }, () => Math.round(random() * 20) / 20);
      const correct = Uint8Array.from(q, (value) => (random() < value ? 1 : 0));
      const [power, slope] = [0.2 + random() * 3, 1 + random() * 5];
      const mapped = q.map((value) => 1 / (1 + Math.exp(-slope * value ** power)));
      assert.equal(confidenceQuality(mapped, correct).auroc, confidenceQuality(q, correct).auroc);
      const { wrong, right } = placements(q, correct);
      const mean = (shares: Float64Array) => shares.reduce((sum, share) => sum + share, 0) / shares.length;
      if (wrong.length > 0 && right.length > 0) near(mean(wrong), mean(right), 1e-12);
    }
  });
});

describe("chooseConfidence", () => {
  const fit = population(3, 3000);
  const judge = population(4, 3000);

  it("takes the simplest of those that are as good, within noise", () => {
    const { chosen, candidates, skipped } = chooseConfidence(fit, judge, ["max_prob", "platt"]);
    assert.equal(chosen.fitted.function, "max_prob");
    assert.deepEqual(
      candidates.map((candidate) => candidate.deficit),
      [0, 0],
    );
    assert.deepEqual(skipped, []);
  });

  it("takes a better ranking where it is clearly better", () => {
    // The level is wrong wherever its logits are all small, which max_prob cannot see and logsumexp shows.
    const shifted = (data: typeof fit): FitData => {
      const values = data.scores.values.map((z, i) => z + (Math.floor(i / data.scores.classes) % 2) * 6);
      const correct = data.correct.map((right, row) => (row % 2 === 0 ? right & (row % 4 === 0 ? 1 : 0) : 1));
      return { scores: { ...data.scores, values }, labels: data.labels, correct };
    };
    const { chosen, candidates } = chooseConfidence(shifted(fit), shifted(judge));
    assert.equal(chosen.fitted.function, "logistic_topk");
    assert.deepEqual(
      candidates.map((candidate) => candidate.fitted.function),
      AUTO_CANDIDATES,
    );
    const maxProb = candidates[0];
    assert.ok(maxProb !== undefined && maxProb.deficit > 10 * maxProb.deficitError);
  });

  it("tells which could not be fitted, and falls back to the simplest where nothing is wrong", () => {
    const perfect = { scores: fit.scores, correct: fit.correct.map(() => 1) };
    const { chosen, skipped } = chooseConfidence(perfect, perfect);
    assert.equal(chosen.fitted.function, "max_prob");
    assert.deepEqual(
      skipped.map((skip) => skip.function),
      ["temperature", "platt", "logistic_topk"],
    );
    assert.throws(
      () => chooseConfidence(perfect, perfect, ["platt"]),
      /no confidence function fits this level: platt: of 3000/,
    );
  });
});
