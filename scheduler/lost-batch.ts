/** What happens to requests whose instance ended while it ran them: most run again, the one that kills it does not. */
import { InferenceError } from "../proto/errors.ts";
import type { InferenceRequest } from "../proto/inference.ts";

/** An instance ended with this batch in hand; how far it came is unknown, and nothing was answered. */
export class InstanceLostError extends InferenceError {}

/** Losses after which a request runs in a batch of its own, so that it can harm nobody else. */
const LOSSES_BEFORE_ALONE = 2;

export type LostRequestVerdict = "rerun" | "rerunAlone" | "fail" | "poison";

/**
 * Decides for one request of a lost batch (reliability.md F-01, F-02): it runs again, after its second loss alone; a
 * request that ends an instance alone is poison. Nothing runs again whose caller has stopped waiting. A request is
 * answered once, as a whole, and models keep no state between requests, so running again changes nothing.
 * @param losses how many batches of this request were lost, this one included
 */
export function afterLoss(losses: number, deadlineMs: number, nowMs: number): LostRequestVerdict {
  if (losses > LOSSES_BEFORE_ALONE) return "poison";
  if (deadlineMs <= nowMs) return "fail";
  return losses === LOSSES_BEFORE_ALONE ? "rerunAlone" : "rerun";
}

/** The answer to a request that ended several instances, the last time alone. */
export function poisonError(modelName: string, reason: InferenceError): InferenceError {
  const text =
    `poison: this request ended ${LOSSES_BEFORE_ALONE + 1} instances of model '${modelName}', the last one alone; it is ` +
    `not run again for ${REMEMBERED_MS / 60_000} minutes. Last end: ${reason.message}`;
  return new InferenceError("INTERNAL", text, { cause: reason });
}

const REMEMBERED_MS = 10 * 60_000;
const MOST_REMEMBERED = 1_000;

/** Identifies a request by its inputs: equal texts, equal requests. */
export type Fingerprint = (request: InferenceRequest) => string;

/** Requests that ended instances, by fingerprint; looked at only while there are any. */
export class PoisonMemory {
  readonly #fingerprint: Fingerprint;
  /** Until when each is remembered, oldest first. */
  readonly #untilMs = new Map<string, number>();

  constructor(fingerprint: Fingerprint) {
    this.#fingerprint = fingerprint;
  }

  remember(request: InferenceRequest, nowMs: number): void {
    const key = this.#fingerprint(request);
    this.#untilMs.delete(key);
    this.#untilMs.set(key, nowMs + REMEMBERED_MS);
    const [oldest] = this.#untilMs.keys();
    if (this.#untilMs.size > MOST_REMEMBERED && oldest !== undefined) this.#untilMs.delete(oldest);
  }

  /** Throws INTERNAL where the same inputs ended instances in the last minutes. */
  check(request: InferenceRequest, nowMs: number): void {
    if (this.#untilMs.size === 0) return;
    for (const [key, untilMs] of this.#untilMs) {
      if (untilMs > nowMs) break;
      this.#untilMs.delete(key);
    }
    if (this.#untilMs.size === 0 || !this.#untilMs.has(this.#fingerprint(request))) return;
    throw new InferenceError(
      "INTERNAL",
      `poison: the same inputs ended instances of model '${request.modelName}' within the last ` +
        `${REMEMBERED_MS / 60_000} minutes; they are not run`,
    );
  }
}
