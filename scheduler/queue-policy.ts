/** Who may wait and for how long: Triton's queue policy, as pure functions. */
import { InferenceError } from "../proto/errors.ts";
import { type InferenceRequest, requestIdPrefix } from "../proto/inference.ts";

/** `default_queue_policy` of a model configuration, and the server's own bound. */
export interface QueuePolicy {
  /** The model's `max_queue_size`; 0: the server's bound counts. */
  readonly maxQueueSize: number;
  /** `--max-queued-requests`: the bound of every queue whose model sets none; 0: unbounded. */
  readonly serverQueueBound: number;
  /** Requests waiting longer are rejected; 0: they wait for ever. */
  readonly defaultTimeoutMs: number;
  /** Whether a request's `timeout` parameter may shorten the default. */
  readonly allowTimeoutOverride: boolean;
}

/** Throws UNAVAILABLE when a queue that already holds `queued` requests takes no more. */
export function checkRoom(policy: QueuePolicy, queued: number, request: InferenceRequest): void {
  if (policy.maxQueueSize > 0) {
    if (queued < policy.maxQueueSize) return;
    throw new InferenceError("UNAVAILABLE", `${requestIdPrefix(request.id)}Exceeds maximum queue size`);
  }
  if (policy.serverQueueBound === 0 || queued < policy.serverQueueBound) return;
  throw new InferenceError(
    "UNAVAILABLE",
    `${requestIdPrefix(request.id)}Exceeds maximum queue size: ${queued} requests wait for model ` +
      `'${request.modelName}', the server's bound for models without max_queue_size (--max-queued-requests)`,
  );
}

/**
 * How long a request may wait, Infinity for ever. Its own `timeout` (microseconds) counts only where the policy allows
 * the override and it is shorter than the default; without a default it is ignored (scheduler_utils.cc).
 */
export function queueTimeoutMs(policy: QueuePolicy, request: InferenceRequest): number {
  if (policy.defaultTimeoutMs === 0) return Number.POSITIVE_INFINITY;
  const timeout = policy.allowTimeoutOverride ? request.parameters.get("timeout") : undefined;
  if (timeout?.kind !== "int64" || timeout.value <= 0n) return policy.defaultTimeoutMs;
  return Math.min(policy.defaultTimeoutMs, Number(timeout.value) / 1000);
}

/** What a request hears that comes after its model began to close. */
export function stopping(request: InferenceRequest): InferenceError {
  return new InferenceError(
    "UNAVAILABLE",
    `${requestIdPrefix(request.id)}Server is stopping, scheduler for model has stopped accepting new inference requests`,
  );
}
