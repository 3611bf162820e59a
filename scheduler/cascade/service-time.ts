/** How long a level takes to answer at present: what deadlines and gears go by. */

/** Weight of the newest answer in the mean. */
const NEWEST = 0.2;
/** A queue that nobody has seen for this long is believed to be half as long. */
const HALF_LIFE_MS = 1000;
/**
 * Work that nobody measured for this long is believed to be half as much for every half-life more: rows that a slow
 * answer keeps away from a level must not keep it from ever being measured again.
 */
const WORK_STALE_MS = 30_000;
const WORK_HALF_LIFE_MS = 10_000;

export class ServiceTime {
  /** Start times of the requests in hand, oldest first. */
  readonly #startedMs = new Map<number, number>();
  #nextTicket = 0;
  #computeMs: number | undefined;
  #queueMs = 0;
  #measuredMs = 0;

  /** A request went to the level; give the ticket back with `end`. */
  begin(nowMs: number): number {
    const ticket = this.#nextTicket++;
    this.#startedMs.set(ticket, nowMs);
    return ticket;
  }

  /** It was answered after `computeMs` of work, the rest was queue; undefined: it failed and says nothing. */
  end(ticket: number, nowMs: number, computeMs: number | undefined): void {
    const startedMs = this.#startedMs.get(ticket) ?? nowMs;
    this.#startedMs.delete(ticket);
    if (computeMs === undefined) return;
    const queueMs = Math.max(0, nowMs - startedMs - computeMs);
    const known = this.#decayedQueueMs(nowMs);
    this.#queueMs = this.#computeMs === undefined ? queueMs : known + NEWEST * (queueMs - known);
    this.#computeMs =
      this.#computeMs === undefined ? computeMs : this.#computeMs + NEWEST * (computeMs - this.#computeMs);
    this.#measuredMs = nowMs;
  }

  /** How long a request waits for its run: the mean of late, or what the oldest one in hand has waited already. */
  queueDelayMs(nowMs: number): number {
    let waitedMs = 0;
    for (const startedMs of this.#startedMs.values()) {
      waitedMs = nowMs - startedMs - (this.#computeMs ?? 0);
      break; // the oldest
    }
    return Math.max(waitedMs, this.#decayedQueueMs(nowMs));
  }

  /** From now to the answer of a request that is sent now; 0 before the first answer. */
  latencyMs(nowMs: number): number {
    if (this.#computeMs === undefined) return 0;
    const staleMs = Math.max(0, nowMs - this.#measuredMs - WORK_STALE_MS);
    return this.#computeMs * 0.5 ** (staleMs / WORK_HALF_LIFE_MS) + this.queueDelayMs(nowMs);
  }

  #decayedQueueMs(nowMs: number): number {
    return this.#queueMs * 0.5 ** ((nowMs - this.#measuredMs) / HALF_LIFE_MS);
  }
}
