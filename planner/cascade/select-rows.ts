/** Rows of a split taken out of recorded arrays. */
import type { Labels, Scores } from "./level-answers.ts";

/** The scores of these rows, in this order. */
export function selectScores(scores: Scores, rows: Int32Array): Scores {
  const width = scores.tokens * scores.classes;
  const values =
    scores.values instanceof Float32Array
      ? new Float32Array(rows.length * width)
      : new Float64Array(rows.length * width);
  rows.forEach((row, i) => {
    values.set(scores.values.subarray(row * width, (row + 1) * width), i * width);
  });
  const mask = scores.mask === null ? null : selectBytes(scores.mask, rows, scores.tokens);
  return { ...scores, values, rows: rows.length, mask };
}

export function selectLabels(labels: Labels, rows: Int32Array): Labels {
  return { tokens: labels.tokens, values: selectIntegers(labels.values, rows, labels.tokens) };
}

/** `width` elements a row. */
export function selectIntegers(values: Int32Array, rows: Int32Array, width = 1): Int32Array {
  const selected = new Int32Array(rows.length * width);
  rows.forEach((row, i) => {
    selected.set(values.subarray(row * width, (row + 1) * width), i * width);
  });
  return selected;
}

export function selectBytes(values: Uint8Array, rows: Int32Array, width = 1): Uint8Array {
  const selected = new Uint8Array(rows.length * width);
  rows.forEach((row, i) => {
    selected.set(values.subarray(row * width, (row + 1) * width), i * width);
  });
  return selected;
}
