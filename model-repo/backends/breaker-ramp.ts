/**
 * How traffic comes back to an endpoint after its breaker closed: from a tenth to all of it over five seconds, so that a
 * server that has just started is not met by everything that waited (reliability.md 4).
 */

/** Share of the calls that may go at the moment of closing. */
export const FIRST_SHARE = 0.1;
export const RAMP_MS = 5_000;

/** Share of the calls, 0.1 to 1, that may go so long after closing; Infinity: it was never open. Pure. */
export function rampShare(sinceClosedMs: number): number {
  return Math.min(1, FIRST_SHARE + (1 - FIRST_SHARE) * Math.max(0, sinceClosedMs / RAMP_MS));
}

/** Lets a share of the calls go, spread evenly by counting: of eight at a share of 0.25 the first and the fifth. */
export class ShareCounter {
  /** What has been saved up, where a call costs 1; undefined before the first one below a full share. */
  #credit: number | undefined;

  /** Whether the next call goes; counts it. The first one below a full share always does. */
  admits(share: number): boolean {
    if (share >= 1) {
      this.#credit = undefined;
      return true;
    }
    const credit = this.#credit === undefined ? 1 : this.#credit + share;
    const goes = credit >= 1;
    this.#credit = goes ? credit - 1 : credit;
    return goes;
  }
}
