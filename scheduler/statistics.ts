/** Counters of one model version, as Triton's ModelStatistics counts them. Plain numbers, read at scrape. */
import type { ExecutionTiming } from "./instance.ts";

/** How often something happened and how long it took in all. */
export interface Duration {
  count: number;
  ms: number;
}

export interface BatchStatistics {
  readonly batchSize: number;
  readonly computeInput: Duration;
  readonly computeInfer: Duration;
  readonly computeOutput: Duration;
}

/** The `reason` label of nv_inference_request_failure. */
export const FAILURE_REASONS = ["REJECTED", "CANCELED", "BACKEND", "OTHER"] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

export class ModelStatistics {
  /** Milliseconds since the epoch of the last execution's start; 0 before the first. */
  lastInferenceEpochMs = 0;
  /** Sum of the batch sizes of successful requests. */
  inferenceCount = 0;
  /** Batches executed. */
  executionCount = 0;
  /** Requests waiting for an instance: queued, or dispatched and not yet run. */
  pendingRequestCount = 0;
  readonly success: Duration = { count: 0, ms: 0 };
  readonly fail: Duration = { count: 0, ms: 0 };
  readonly queue: Duration = { count: 0, ms: 0 };
  readonly computeInput: Duration = { count: 0, ms: 0 };
  readonly computeInfer: Duration = { count: 0, ms: 0 };
  readonly computeOutput: Duration = { count: 0, ms: 0 };
  readonly failures: Record<FailureReason, number> = { REJECTED: 0, CANCELED: 0, BACKEND: 0, OTHER: 0 };
  readonly #batches = new Map<number, BatchStatistics>();

  /** One row per batch size seen, ascending. */
  get batches(): readonly BatchStatistics[] {
    return [...this.#batches.values()].sort((a, b) => a.batchSize - b.batchSize);
  }

  /** Counts one execution of `batchSize` rows. */
  recordExecution(batchSize: number, timing: ExecutionTiming, startedEpochMs: number): void {
    this.lastInferenceEpochMs = startedEpochMs;
    this.executionCount++;
    let batch = this.#batches.get(batchSize);
    if (batch === undefined) {
      batch = { batchSize, computeInput: zero(), computeInfer: zero(), computeOutput: zero() };
      this.#batches.set(batchSize, batch);
    }
    add(batch.computeInput, timing.computeInputMs);
    add(batch.computeInfer, timing.computeInferMs);
    add(batch.computeOutput, timing.computeOutputMs);
  }

  /** Counts one answered request; it is charged the whole batch's compute times, as in Triton. */
  recordSuccess(rows: number, totalMs: number, queueMs: number, timing: ExecutionTiming): void {
    this.inferenceCount += Math.max(1, rows);
    add(this.success, totalMs);
    add(this.queue, queueMs);
    add(this.computeInput, timing.computeInputMs);
    add(this.computeInfer, timing.computeInferMs);
    add(this.computeOutput, timing.computeOutputMs);
  }

  /** Counts one failed request. */
  recordFailure(reason: FailureReason, totalMs: number): void {
    add(this.fail, totalMs);
    this.failures[reason]++;
  }
}

function zero(): Duration {
  return { count: 0, ms: 0 };
}

function add(duration: Duration, ms: number): void {
  duration.count++;
  duration.ms += ms;
}
