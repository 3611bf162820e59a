/** When two levels answer a row alike. */
import type { CascadeFile, ScoreKind } from "../../proto/files/cascade-file.ts";
import { gatherRows, type Tensor } from "../../proto/tensor.ts";
import { readsClasses } from "../confidence/confidence.ts";
import { readFloats } from "../confidence/floats.ts";

/** The cascade's output that carries class scores, and what they are. */
export interface ScoresOutput {
  readonly name: string;
  readonly kind: ScoreKind;
}

/** One row's answer: classes, one a token, or the bytes of all outputs where no output carries class scores. */
export type RowAnswer = ArrayLike<number>;

/** The output by whose most likely class answers are compared; undefined: by all bytes. */
export function scoresOutput(file: CascadeFile, outputNames: readonly string[]): ScoresOutput | undefined {
  for (const level of file.levels) {
    const { confidence } = level;
    if (confidence === null || !readsClasses(confidence.function)) continue;
    const name = outputNames.find((output) => (level.outputs[output] ?? output) === confidence.outputs["scores"]);
    if (name !== undefined) return { name, kind: confidence.kind };
  }
  return undefined;
}

/** The answer in one row of the cascade's outputs; fresh memory. A tie goes to the first class. */
export function rowAnswer(outputs: readonly Tensor[], row: number, scores: ScoresOutput | undefined): RowAnswer {
  const output = outputs.find((candidate) => candidate.name === scores?.name);
  if (output === undefined || scores === undefined) {
    return outputs.flatMap((each) => [...gatherRows(each, [row]).data]);
  }
  const one = gatherRows(output, [row]);
  const values = readFloats(one);
  const classes = Math.max(1, one.shape.length > 1 ? (one.shape.at(-1) ?? 1) : 1);
  const answer: number[] = [];
  for (let start = 0; start < values.length; start += classes)
    answer.push(classAt(values, start, classes, scores.kind));
  return answer;
}

export function sameAnswer(a: RowAnswer, b: RowAnswer): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** A single score is class 1 above one half (a logit above 0). */
function classAt(values: ArrayLike<number>, start: number, classes: number, kind: ScoreKind): number {
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
