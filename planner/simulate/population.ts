/** How many requests are in the system, and for how long. */
import type { Window } from "./window.ts";

export class Population {
  readonly #window: Window;
  #count = 0;
  #changedMs = 0;
  /** Sum over time of the number of requests, within the window. */
  #requestMs = 0;

  constructor(window: Window) {
    this.#window = window;
  }

  get count(): number {
    return this.#count;
  }

  /** Mean number of requests over the window; all changes within it must have been told. */
  get mean(): number {
    return this.#requestMs / this.#window.lengthMs;
  }

  change(by: number, nowMs: number): void {
    this.#requestMs += this.#count * this.#window.overlapMs(this.#changedMs, nowMs);
    this.#count += by;
    this.#changedMs = nowMs;
  }
}
