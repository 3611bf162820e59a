/** The news that a request is no longer wanted: its client went away or its deadline passed. */
import type { InferenceError } from "../proto/errors.ts";

/** One per call, stream or batch; far cheaper than an AbortController, and its reason carries the status code. */
export class Cancellation {
  /** When the caller stops waiting, on the models' clock; Infinity: never. Whoever set it also cancels then. */
  readonly deadlineMs: number;
  #reason: InferenceError | undefined;
  #callbacks: ((reason: InferenceError) => void)[] = [];

  constructor(deadlineMs = Number.POSITIVE_INFINITY) {
    this.deadlineMs = deadlineMs;
  }

  /** Why the request was cancelled; undefined while it is wanted. */
  get reason(): InferenceError | undefined {
    return this.#reason;
  }

  /** Tells everybody who waits, once; later calls do nothing. */
  cancel(reason: InferenceError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    for (const callback of callbacks) callback(reason);
  }

  /** Calls back on cancellation, at once if it already happened. */
  onCancel(callback: (reason: InferenceError) => void): void {
    if (this.#reason === undefined) this.#callbacks.push(callback);
    else callback(this.#reason);
  }
}
