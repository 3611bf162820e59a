/** When an instance that ended is started again: sooner after one mishap, rarely where it keeps ending. */

/** The first wait; doubles with every end in a row, back to this after a run. */
const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 30_000;
/** So many ends within the window: the instance is down, and is tried after the longest delay only. */
const CRASHES_UNTIL_DOWN = 5;
const CRASH_WINDOW_MS = 60_000;
/** Delays grow by up to this share, so that many instances do not start in step. */
const JITTER = 0.1;

export interface RestartHistory {
  /** When it ended, within the window, oldest first. */
  readonly crashesMs: readonly number[];
  readonly nextDelayMs: number;
}

export const NO_CRASHES: RestartHistory = { crashesMs: [], nextDelayMs: FIRST_DELAY_MS };

export interface RestartDecision {
  readonly history: RestartHistory;
  readonly delayMs: number;
  readonly isDown: boolean;
}

/** The instance ended, or did not start: when to start it. `random` is 0 to below 1. */
export function afterCrash(history: RestartHistory, nowMs: number, random: number): RestartDecision {
  const recent = history.crashesMs.filter((timeMs) => timeMs > nowMs - CRASH_WINDOW_MS);
  const crashesMs = [...recent, nowMs].slice(-CRASHES_UNTIL_DOWN);
  const isDown = crashesMs.length >= CRASHES_UNTIL_DOWN;
  const delayMs = (isDown ? LONGEST_DELAY_MS : history.nextDelayMs) * (1 + JITTER * random);
  const nextDelayMs = Math.min(LONGEST_DELAY_MS, history.nextDelayMs * 2);
  return { history: { crashesMs, nextDelayMs }, delayMs, isDown };
}

/** A batch was answered: the next restart comes soon again; ends within the window still count. */
export function afterRun(history: RestartHistory): RestartHistory {
  return history.nextDelayMs === FIRST_DELAY_MS ? history : { ...history, nextDelayMs: FIRST_DELAY_MS };
}
