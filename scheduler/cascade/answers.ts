/** When two levels answer a row alike: by what they decide, never by the digits of their scores. */
import type { CascadeFile, ScoreKind } from "../../proto/files/cascade-file.ts";
import { gatherRows, type Tensor } from "../../proto/tensor.ts";
import { rolesOf } from "../confidence/confidence.ts";
import { readFloats, readMask } from "../confidence/floats.ts";

/** The cascade's outputs that hold the answer. */
export interface AnswerOutputs {
  /** Their most likely class counts, one a row, token or end of a span. */
  readonly scores: readonly { readonly name: string; readonly kind: ScoreKind }[];
  /** The output that is 0 where a token does not count, if the cascade lists it; else all tokens count. */
  readonly mask: string | undefined;
  /** Compared byte by byte. */
  readonly others: readonly string[];
}

/** One row's answer, as numbers that are equal where answers are. */
export type RowAnswer = readonly number[];

/** A token that does not count. */
const NO_CLASS = -1;

/**
 * What answers are compared by: the scores that the levels' confidences read. Where these are no scores of classes
 * (`model_output`), by the other outputs: float ones by their largest value a row, all others by their bytes.
 */
export function answerOutputs(
  file: CascadeFile,
  outputs: readonly { readonly name: string; readonly datatype: string }[],
): AnswerOutputs {
  const withRole = (role: string) => {
    for (const { confidence, outputs: map } of file.levels) {
      if (confidence === null || confidence.function === "model_output") continue;
      if (!rolesOf(confidence.function).includes(role)) continue;
      const output = outputs.find(({ name }) => (map[name] ?? name) === confidence.outputs[role]);
      if (output !== undefined) return { name: output.name, kind: confidence.kind };
    }
    return undefined;
  };
  const scores = ["scores", "start", "end"].map(withRole).filter((output) => output !== undefined);
  if (scores.length > 0) return { scores, mask: withRole("mask")?.name, others: [] };
  const emitted = file.levels.map(({ confidence, outputs: map }) => (name: string) => {
    return confidence !== null && (map[name] ?? name) === confidence.outputs["scores"];
  });
  const rest = outputs.filter(({ name }) => !emitted.some((isConfidence) => isConfidence(name)));
  const isFloat = (datatype: string) => datatype === "FP16" || datatype === "FP32" || datatype === "FP64";
  return {
    scores: rest.filter(({ datatype }) => isFloat(datatype)).map(({ name }) => ({ name, kind: "probabilities" })),
    mask: undefined,
    others: rest.filter(({ datatype }) => !isFloat(datatype)).map(({ name }) => name),
  };
}

/** The answer in one row of the cascade's outputs; fresh memory. A tie goes to the first class. */
export function rowAnswer(outputs: readonly Tensor[], row: number, { scores, mask, others }: AnswerOutputs): RowAnswer {
  const rowOf = (name: string | undefined) => {
    const output = outputs.find((candidate) => candidate.name === name);
    return output === undefined ? undefined : gatherRows(output, [row]);
  };
  const masked = rowOf(mask);
  const counts = masked === undefined ? undefined : readMask(masked);
  const answer: number[] = [];
  for (const { name, kind } of scores) {
    const tensor = rowOf(name);
    if (tensor === undefined) continue;
    const values = readFloats(tensor);
    const classes = Math.max(1, tensor.shape.length > 1 ? (tensor.shape.at(-1) ?? 1) : 1);
    for (let at = 0; at < values.length; at += classes) {
      answer.push(counts?.[at / classes] === 0 ? NO_CLASS : classAt(values, at, classes, kind));
    }
  }
  for (const name of others) for (const byte of rowOf(name)?.data ?? []) answer.push(byte);
  return answer;
}

export function sameAnswer(a: RowAnswer, b: RowAnswer): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/**
 * The class that the scores from `start` on answer: the first of the largest; a single score is class 1 above one half (a
 * logit above 0). Calibration and server judge answers by this one function.
 */
export function classAt(values: ArrayLike<number>, start: number, classes: number, kind: ScoreKind): number {
  if (classes === 1) return (values[start] ?? 0) > (kind === "logits" ? 0 : 0.5) ? 1 : 0;
  let best = 0;
  let largest = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < classes; j++) {
    const value = values[start + j] ?? Number.NaN;
    if (value > largest) {
      largest = value;
      best = j;
    }
  }
  return best;
}
