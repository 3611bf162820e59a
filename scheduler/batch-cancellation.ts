/** A batch is wanted as long as anybody waits for one of its requests. */
import type { InferenceError } from "../proto/errors.ts";
import { Cancellation } from "./cancellation.ts";

export class BatchCancellation {
  /** Fires with the reason of the last request that left; its deadline is the latest of the requests. */
  readonly cancellation: Cancellation;
  #wanted: number;

  /** `deadlinesMs`: one a request, on the model's clock; Infinity for none. */
  constructor(deadlinesMs: readonly number[]) {
    this.cancellation = new Cancellation(Math.max(...deadlinesMs));
    this.#wanted = deadlinesMs.length;
  }

  /** One request is no longer waited for: call it once a request. */
  leave(reason: InferenceError): void {
    this.#wanted--;
    if (this.#wanted === 0) this.cancellation.cancel(reason);
  }
}
