/** When a model on other servers counts as ready (ModelReady): slower than its breakers, so that it does not flap. */
import type { Clock } from "../../scheduler/clock.ts";
import { WINDOW_MS } from "./breaker-window.ts";

/** A target that was taken back and fails again within one window of its breaker was never back. */
export const READY_AFTER_MS = WINDOW_MS;

/**
 * When the model is ready again if nothing changes; Infinity: never. `closedSinceMs`: of each target, undefined for one
 * that is left out. Pure.
 */
export function readyFromMs(closedSinceMs: readonly (number | undefined)[]): number {
  return Math.min(...closedSinceMs.map((sinceMs) => (sinceMs ?? Number.POSITIVE_INFINITY) + READY_AFTER_MS));
}

/** Not ready from the moment that every target is left out until one has been in use again for `READY_AFTER_MS`. */
export class Readiness {
  readonly #clock: Clock;
  readonly #onReadyAgain: () => void;
  #isReady = true;
  #cancelTimer: () => void = () => undefined;

  constructor(clock: Clock, onReadyAgain: () => void) {
    this.#clock = clock;
    this.#onReadyAgain = onReadyAgain;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** To be told whenever a target is left out or taken back. */
  update(closedSinceMs: readonly (number | undefined)[]): void {
    this.#cancelTimer();
    const fromMs = readyFromMs(closedSinceMs);
    if (fromMs === Number.POSITIVE_INFINITY) this.#isReady = false;
    if (this.#isReady || fromMs === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = this.#clock.at(fromMs, () => {
      this.#isReady = true;
      this.#onReadyAgain();
    });
  }

  /** Frees the timer. Idempotent. */
  close(): void {
    this.#cancelTimer();
  }
}
