/** A repeatable choice of a share of rows. */

export class SeededChoice {
  #state: number;
  readonly #share: number;

  /** `share` of 1; the same seed chooses the same rows. */
  constructor(share: number, seed: number) {
    this.#share = share;
    this.#state = seed | 0;
  }

  /** Whether the next row is chosen (mulberry32). */
  next(): boolean {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32 < this.#share;
  }
}
