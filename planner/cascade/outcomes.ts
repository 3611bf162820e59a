/** What the levels of a cascade say about labelled rows: all that search and certificate look at. */
import type { Gate } from "../../proto/files/cascade-file.ts";

/** The rows of one split. Arrays are [level][row]; levels count from 0, the last is the reference ("giant"). */
export interface LevelOutcomes {
  readonly rows: number;
  /** Confidence of every level but the last; NaN where the scores were no finite numbers (such rows escalate). */
  readonly confidences: readonly Float64Array[];
  /** Answer of every level, as a number that is equal exactly where answers are (class, hash of a sequence). */
  readonly answers: readonly Int32Array[];
  /** 1 where the level's answer is right. */
  readonly correct: readonly Uint8Array[];
}

/** What gates do to the rows of a split. */
export interface GateOutcome {
  readonly gates: readonly Gate[];
  readonly rows: number;
  /** Share of right answers, of the cascade and of the last level alone. */
  readonly accuracy: number;
  readonly lastLevelAccuracy: number;
  /** Mean cost per row, in the unit of the levels' costs. */
  readonly cost: number;
  /** reach[k]: share of all rows that enter level k. */
  readonly reach: readonly number[];
  /** paths[k][j]: share of level k's rows answered there (j = k) or sent to level j; zeros where no row came. */
  readonly paths: readonly (readonly number[])[];
  /** Share of rows that the last level gets right and the cascade wrong. */
  readonly harm: number;
  /** lastLevelAccuracy - accuracy. */
  readonly gap: number;
  /** Share of rows that the cascade answers otherwise than the last level. */
  readonly disagreement: number;
  /** confidences[k][bin]: shares of level k's rows in each of the server's bins of confidence; zeros where none came. */
  readonly confidences: readonly (readonly number[])[];
}
