/** A call's deadline, and whether a cancelled call ran into it. */
import { InferenceError } from "../../proto/errors.ts";
import { Cancellation } from "../../scheduler/cancellation.ts";

/**
 * A client cancels by itself when its deadline has passed, and its time began before ours: by what the headers took to get
 * here and to be read, more on a busy machine. It does not say why it cancels, so a cancellation in this last part of
 * the time that it gave us counts as its deadline.
 */
const LEEWAY_SHARE = 0.1;
const MOST_LEEWAY_MS = 100;
/** Timers may be early by as much. */
const LEAST_LEEWAY_MS = 1;

export class CallDeadline {
  /** On the models' clock, which is performance.now(); Infinity: none. */
  readonly atMs: number;
  readonly #leewayMs: number;

  /** `deadline` of the call, as grpc-js has it; `nowMs` on the models' clock. */
  constructor(deadline: Date | number, nowMs: number = performance.now()) {
    const leftMs = Number(deadline) - Date.now();
    this.atMs = nowMs + leftMs;
    this.#leewayMs = Math.max(LEAST_LEEWAY_MS, Math.min(MOST_LEEWAY_MS, leftMs * LEEWAY_SHARE));
  }

  /** Of one request of the call. */
  cancellation(): Cancellation {
    return new Cancellation(this.atMs);
  }

  /** Why the call ended now, before its answer: its deadline or its client. */
  cancelReason(nowMs: number = performance.now()): InferenceError {
    const isLate = this.atMs - nowMs <= this.#leewayMs;
    return isLate ? new InferenceError("DEADLINE_EXCEEDED", "Deadline exceeded") : new InferenceError("CANCELLED", "");
  }
}
