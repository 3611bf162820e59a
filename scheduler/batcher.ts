/** When to send a batch and how large: Triton's dynamic batcher as a pure function. */

/** What the batcher looks at of a waiting request. */
export interface QueuedRequest {
  /** Batch size of the request, at least 1. */
  readonly rows: number;
  readonly enqueuedMs: number;
  /** Requests share a batch only where this is equal: shapes of variable-size inputs, set of optional inputs given. */
  readonly batchKey: string;
}

/** `dynamic_batching` of a model configuration. */
export interface BatchPolicy {
  readonly maxBatchSize: number;
  /** Sizes worth sending early; a trigger, not a cap. Empty: only the largest batch. */
  readonly preferredBatchSizes: readonly number[];
  readonly maxQueueDelayMs: number;
  /** Responses leave in the order of their requests. */
  readonly preserveOrdering: boolean;
}

export type Decision =
  | { readonly kind: "idle" }
  /** Look again at this time, or when a request arrives. */
  | { readonly kind: "wait"; readonly untilMs: number }
  /** Send the first `count` requests now. */
  | { readonly kind: "dispatch"; readonly count: number };

/**
 * Decides for a free instance. Same rule as Triton's `DynamicBatchScheduler::GetDynamicBatch`:
 * requests are scanned in queue order; a pending total equal to a preferred size is remembered, and so is the last
 * total before all preferred sizes are passed. Within the queue delay the remembered size goes out at once. Otherwise
 * everything pending goes when it cannot grow, when it reached the largest preferred size, or when the oldest request
 * has waited for the delay.
 */
export function decide(queue: Iterable<QueuedRequest>, policy: BatchPolicy, nowMs: number): Decision {
  const preferred = policy.preferredBatchSizes;
  const largestPreferred = preferred.length === 0 ? policy.maxBatchSize : Math.max(...preferred);
  let rows = 0;
  let count = 0;
  let bestCount = 0;
  let cannotGrow = false;
  let oldest: QueuedRequest | undefined;
  for (const request of queue) {
    if (oldest === undefined) {
      oldest = request;
    } else {
      if (rows + request.rows > largestPreferred && bestCount === 0) bestCount = count;
      if (rows + request.rows > policy.maxBatchSize || request.batchKey !== oldest.batchKey) {
        cannotGrow = true;
        break;
      }
    }
    rows += request.rows;
    count++;
    if (preferred.includes(rows)) bestCount = count;
  }
  if (oldest === undefined) return { kind: "idle" };
  const sendAtMs = oldest.enqueuedMs + policy.maxQueueDelayMs;
  const delayIsOver = nowMs >= sendAtMs;
  const delayIsExceeded = policy.maxQueueDelayMs > 0 && delayIsOver;
  if (bestCount > 0 && !delayIsExceeded) return { kind: "dispatch", count: bestCount };
  if (cannotGrow || rows >= largestPreferred || delayIsOver) return { kind: "dispatch", count };
  return { kind: "wait", untilMs: sendAtMs };
}
