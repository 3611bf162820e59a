/** A request on its way through a model's queue and its instances. */
import type { InferenceError } from "../proto/errors.ts";
import type { InferenceRequest } from "../proto/inference.ts";
import type { Tensor } from "../proto/tensor.ts";
import type { BatchCancellation } from "./batch-cancellation.ts";
import type { QueuedRequest } from "./batcher.ts";
import type { ModelResponse } from "./model.ts";
import type { QueuePlace } from "./queue.ts";

export interface Entry extends QueuedRequest {
  readonly request: InferenceRequest;
  /** Unique for a request that runs alone. */
  batchKey: string;
  /** Batches of this request whose instance ended while it ran them. */
  losses: number;
  /** When it is rejected if it still waits; Infinity: never. */
  readonly expiresMs: number;
  /** When its caller stops waiting; Infinity: never. */
  readonly deadlineMs: number;
  /** Hands the outcome to the caller, in turn where the order is preserved. */
  readonly deliver: (outcome: () => void) => void;
  readonly resolve: (response: ModelResponse) => void;
  readonly reject: (reason: InferenceError) => void;
  /** Where it waits; undefined once dispatched or gone. */
  place: QueuePlace<Entry> | undefined;
  /** The batch it runs in, which hears when it is no longer wanted; undefined while it waits. */
  batch: BatchCancellation | undefined;
  /** Answered, failed or cancelled: what happens later is ignored. */
  finished: boolean;
}

/** The outputs a request asked for, in the model's order. */
export function requested(request: InferenceRequest, outputs: readonly Tensor[]): readonly Tensor[] {
  if (request.requestedOutputs.length === 0) return outputs;
  return outputs.filter((output) => request.requestedOutputs.some((asked) => asked.name === output.name));
}
