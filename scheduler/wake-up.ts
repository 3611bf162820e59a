/** The one timer of a model: holds the earliest time somebody asked for. */
import type { Clock } from "./clock.ts";

export class WakeUp {
  readonly #clock: Clock;
  readonly #callback: () => void;
  #timeMs = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, callback: () => void) {
    this.#clock = clock;
    this.#callback = callback;
  }

  /** Calls back at `timeMs`, unless an earlier call is already due; Infinity asks for nothing. */
  schedule(timeMs: number): void {
    if (timeMs >= this.#timeMs) return;
    this.#cancel?.();
    this.#timeMs = timeMs;
    this.#cancel = this.#clock.at(timeMs, () => {
      this.#timeMs = Number.POSITIVE_INFINITY;
      this.#cancel = undefined;
      this.#callback();
    });
  }

  /** Forgets what is due. */
  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#timeMs = Number.POSITIVE_INFINITY;
  }
}
