/** From the score tensors of a level to its answers: which class, and whether that is right. */
import { InferenceError } from "../../proto/errors.ts";
import type { ScoreKind } from "../../proto/files/cascade-file.ts";
import { classAt } from "../../scheduler/cascade/answers.ts";

/** Scores of all rows, row-major: [rows, classes], or [rows, tokens, classes] for sequences. */
export interface Scores {
  readonly values: Float32Array | Float64Array;
  readonly rows: number;
  /** 1 where a row is one answer. */
  readonly tokens: number;
  readonly classes: number;
  readonly kind: ScoreKind;
  /** [rows, tokens]: 0 where a token does not count; null: all count. */
  readonly mask: Uint8Array | null;
}

/** What is right: one class a row, or one a token (-1: the token does not count). */
export interface Labels {
  readonly values: Int32Array;
  readonly tokens: number;
}

export interface Answers {
  /** Class of each token in the cascade's order, [rows, tokens]; -1 where the token does not count. */
  readonly classes: Int32Array;
  readonly tokens: number;
}

/** The most likely class of every row or token, classes renamed by the label map; the first of equals. */
export function answersOf(scores: Scores, labelMap: readonly number[] | null): Answers {
  const { values, rows, tokens, classes, kind, mask } = scores;
  const answers = new Int32Array(rows * tokens);
  for (let i = 0; i < answers.length; i++) {
    if (mask !== null && mask[i] === 0) {
      answers[i] = -1;
      continue;
    }
    const start = i * classes;
    const best = classAt(values, start, classes, kind);
    answers[i] = labelMap?.[best] ?? best;
  }
  return { classes: answers, tokens };
}

/** A row is right where every token that counts is. Throws INVALID_ARGUMENT where labels and answers do not line up. */
export function correctRows(answers: Answers, labels: Labels): Uint8Array {
  if (labels.tokens !== answers.tokens || labels.values.length !== answers.classes.length) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `the labels are ${labels.tokens} a row, the levels answer ${answers.tokens} a row; give one label for each`,
    );
  }
  const rows = answers.classes.length / answers.tokens;
  const correct = new Uint8Array(rows).fill(1);
  for (let i = 0; i < labels.values.length; i++) {
    const label = labels.values[i] ?? -1;
    const answer = answers.classes[i] ?? -1;
    if (label !== -1 && answer !== -1 && label !== answer) correct[Math.floor(i / answers.tokens)] = 0;
  }
  return correct;
}

/** One number a row for every level, equal exactly where the answers of the row are. */
export function numberAnswers(levels: readonly Answers[]): Int32Array[] {
  const tokens = levels[0]?.tokens ?? 1;
  if (tokens === 1) return levels.map((level) => level.classes);
  const numbers = new Map<string, number>();
  return levels.map(({ classes }) => {
    const rows = classes.length / tokens;
    return Int32Array.from({ length: rows }, (_, row) => {
      const key = classes.subarray(row * tokens, (row + 1) * tokens).join();
      const known = numbers.get(key);
      if (known !== undefined) return known;
      numbers.set(key, numbers.size);
      return numbers.size - 1;
    });
  });
}

/** What scores hold, from their looks: probabilities sum to 1, sigmoid outputs lie in 0..1, logits do neither. */
export function guessKind(values: ArrayLike<number>, classes: number): ScoreKind {
  const rows = Math.min(values.length / classes, GUESS_ROWS);
  let allWithin = true;
  let allSum = classes > 1;
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let i = row * classes; i < (row + 1) * classes; i++) {
      const value = values[i] ?? Number.NaN;
      if (!Number.isFinite(value)) continue;
      if (value < -1e-6 || value > 1 + 1e-6) allWithin = false;
      sum += value;
    }
    if (Math.abs(sum - 1) > SUM_TOLERANCE) allSum = false;
  }
  if (!allWithin) return "logits";
  return allSum ? "probabilities" : "sigmoid";
}

/** Enough rows to tell, and what half-precision sums may miss. */
const GUESS_ROWS = 1000;
const SUM_TOLERANCE = 0.01;
