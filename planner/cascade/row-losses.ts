/** What gates lose on each row against the last level: the values that a certificate tests. */
import type { Gate } from "../../proto/files/cascade-file.ts";
import { entryLevel, route } from "../../scheduler/cascade/policy.ts";
import type { LevelOutcomes } from "./outcomes.ts";

export interface RowLosses {
  /** Level that answers each row. */
  readonly levels: Uint8Array;
  /** 1{last level right} - 1{cascade right}, in -1, 0, 1. */
  readonly gap: Int8Array;
  /** 1 where the cascade answers otherwise than the last level. */
  readonly disagrees: Uint8Array;
}

/** Routes every row by the function that serves. */
export function rowLosses(outcomes: LevelOutcomes, gates: readonly Gate[]): RowLosses {
  const { rows, confidences, correct, answers } = outcomes;
  const last = answers.length - 1;
  const lastCorrect = correct[last] as Uint8Array; // one a level
  const lastAnswers = answers[last] as Int32Array; // as above
  const levels = new Uint8Array(rows);
  const gap = new Int8Array(rows);
  const disagrees = new Uint8Array(rows);
  const entry = entryLevel(gates);
  for (let row = 0; row < rows; row++) {
    let level = entry;
    while (level < last) {
      const gate = gates[level];
      const q = confidences[level]?.[row] ?? Number.NaN;
      const next = gate === undefined ? last : route(q, gate, level, last);
      if (next === level) break;
      level = next;
    }
    levels[row] = level;
    gap[row] = (lastCorrect[row] ?? 0) - (correct[level]?.[row] ?? 0);
    disagrees[row] = answers[level]?.[row] === lastAnswers[row] ? 0 : 1;
  }
  return { levels, gap, disagrees };
}
