/** From a level's output tensors to the numbers that calibration works on. */
import { guessKind, type Scores } from "../../planner/cascade/level-answers.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { ScoreKind } from "../../proto/files/cascade-file.ts";
import { elementCount, type Tensor } from "../../proto/tensor.ts";
import { readFloats, readMask } from "../../scheduler/confidence/floats.ts";

/**
 * `scores`: [rows], [rows, classes] or [rows, tokens, classes]; `mask`: [rows, tokens]. `kind` null: told from the
 * values. Throws INVALID_ARGUMENT for other shapes, naming `where`.
 */
export function toScores(scores: Tensor, mask: Tensor | undefined, kind: ScoreKind | null, where: string): Scores {
  const [rows = 0, ...rest] = scores.shape;
  if (rest.length > 2) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${where}: '${scores.name}' has shape [${scores.shape}]; scores are [rows, classes] or [rows, tokens, classes]`,
    );
  }
  const classes = rest.at(-1) ?? 1;
  const tokens = rest.length === 2 ? (rest[0] ?? 1) : 1;
  if (mask !== undefined && elementCount(mask.shape) !== rows * tokens) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${where}: '${mask.name}' has shape [${mask.shape}], expected [${rows}, ${tokens}]`,
    );
  }
  const values = readFloats(scores);
  return {
    values,
    rows,
    tokens,
    classes,
    kind: kind ?? guessKind(values, classes),
    mask: mask === undefined ? null : Uint8Array.from(readMask(mask), (value) => (value === 0 ? 0 : 1)),
  };
}
