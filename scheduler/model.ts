/** How requests reach instances: a batched model, a cascade, later ensembles, sequences and pipelines. */
import type { InferenceRequest, InferenceResponse } from "../proto/inference.ts";
import type { Cancellation } from "./cancellation.ts";
import type { ExecutionTiming } from "./instance.ts";
import type { ModelSignature } from "./signature.ts";
import type { ModelStatistics } from "./statistics.ts";

/** A response and where its time went. */
export interface ModelResponse extends InferenceResponse {
  /** The batch's times; sums over the levels for a cascade. */
  readonly timing: ExecutionTiming;
}

export interface Model {
  readonly signature: ModelSignature;
  readonly statistics: ModelStatistics;
  /** false: loaded, and would not answer now; absent: a loaded model answers. */
  readonly isReady?: boolean;
  /**
   * Validates the request against the signature, queues, runs and answers it. Rejects with an InferenceError:
   * Triton's text for what is wrong with the request, UNAVAILABLE when the queue is full or the model closes, the
   * cancellation's reason once that fires.
   */
  infer(request: InferenceRequest, cancellation?: Cancellation): Promise<ModelResponse>;
  /** Refuses new requests, answers those in hand, then closes the instances. Idempotent. */
  close(): Promise<void>;
}
