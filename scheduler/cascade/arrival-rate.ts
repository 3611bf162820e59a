/**
 * How many requests a second arrive at present: what gears by arrival rate go by. Requests are counted in slots of time,
 * and the rate is their mean over the whole slots of the last five seconds and the one that has begun. A Poisson load of
 * r requests a second is so known to sqrt(r / 5): 3.7 % at 150 a second.
 */

const SLOT_MS = 250;
const WHOLE_SLOTS = 20;
const RING_SLOTS = WHOLE_SLOTS + 1;
/** A few requests right after the start are no high rate. */
const LEAST_SPAN_MS = 1_000;

export class ArrivalRate {
  readonly #sinceMs: number;
  /** Slot s is counted at s modulo the ring's size. */
  readonly #counts = new Uint32Array(RING_SLOTS);
  /** Slots count from time 0 on; the one that has begun. */
  #slot: number;
  /** Sum of the ring. */
  #requests = 0;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
    this.#slot = Math.floor(nowMs / SLOT_MS);
  }

  /** A request arrived. Allocates nothing and takes the same time at any rate. */
  observe(nowMs: number): void {
    this.#moveTo(nowMs);
    const index = this.#slot % RING_SLOTS;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#requests++;
  }

  /** Requests a second over the last five seconds, or over all the time since the start where that is less. */
  perSecond(nowMs: number): number {
    this.#moveTo(nowMs);
    const windowMs = nowMs - (this.#slot - WHOLE_SLOTS) * SLOT_MS;
    const spanMs = Math.min(windowMs, Math.max(LEAST_SPAN_MS, nowMs - this.#sinceMs));
    return (this.#requests / spanMs) * 1_000;
  }

  /** Empties the slots that begin anew. */
  #moveTo(nowMs: number): void {
    const slot = Math.floor(nowMs / SLOT_MS);
    const stale = Math.min(slot - this.#slot, RING_SLOTS);
    for (let i = 1; i <= stale; i++) {
      const index = (this.#slot + i) % RING_SLOTS;
      this.#requests -= this.#counts[index] ?? 0;
      this.#counts[index] = 0;
    }
    this.#slot = Math.max(slot, this.#slot);
  }
}
