/** The part of a simulation that is measured: after the warm-up, before the last arrival. */
export class Window {
  readonly fromMs: number;
  readonly toMs: number;

  constructor(fromMs: number, toMs: number) {
    this.fromMs = fromMs;
    this.toMs = toMs;
  }

  get lengthMs(): number {
    return this.toMs - this.fromMs;
  }

  holds(timeMs: number): boolean {
    return timeMs >= this.fromMs && timeMs <= this.toMs;
  }

  /** How much of a stretch of time lies inside. */
  overlapMs(startMs: number, endMs: number): number {
    const overlap = Math.min(endMs, this.toMs) - Math.max(startMs, this.fromMs);
    return Math.max(overlap, 0);
  }
}
