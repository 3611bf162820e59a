/** From a configuration's scheduling to the scheduler that runs its instances. */
import { BatchedModel } from "../../scheduler/batched-model.ts";
import type { BatchPolicy } from "../../scheduler/batcher.ts";
import type { ModelInstance } from "../../scheduler/instance.ts";
import type { QueuePolicy } from "../../scheduler/queue-policy.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { toSignature } from "../config/signature.ts";
import type { ModelPlacement } from "../plan/placement.ts";
import type { LoadContext } from "./backend.ts";
import { requestFingerprint } from "./request-fingerprint.ts";

/** The queue over a model's instances. */
export function batchedModel(context: LoadContext, instances: readonly ModelInstance[]): BatchedModel {
  const { config } = context.resolved;
  return new BatchedModel({
    signature: toSignature(config, context.version),
    instances,
    batching: placedBatching(toBatchPolicy(config), context.placement),
    queuePolicy: toQueuePolicy(config, context.maxQueuedRequests),
    clock: context.clock,
    fingerprint: requestFingerprint,
  });
}

/** The plan's largest batch may be smaller than the largest request that the model takes. */
function placedBatching(policy: BatchPolicy | null, placement: ModelPlacement | undefined): BatchPolicy | null {
  if (policy === null || placement === undefined) return policy;
  return { ...policy, maxBatchSize: Math.min(policy.maxBatchSize, placement.batch.max) };
}

/** null: Triton's default scheduler, one request an execution. */
export function toBatchPolicy(config: ModelConfig): BatchPolicy | null {
  const batching = config.dynamic_batching;
  if (batching === undefined || config.max_batch_size === 0) return null;
  return {
    maxBatchSize: config.max_batch_size,
    preferredBatchSizes: batching.preferred_batch_size,
    maxQueueDelayMs: batching.max_queue_delay_microseconds / 1000,
    preserveOrdering: batching.preserve_ordering,
  };
}

export function toQueuePolicy(config: ModelConfig, serverQueueBound: number): QueuePolicy {
  const policy = config.dynamic_batching?.default_queue_policy;
  return {
    maxQueueSize: policy?.max_queue_size ?? 0,
    serverQueueBound,
    defaultTimeoutMs: (policy?.default_timeout_microseconds ?? 0) / 1000,
    allowTimeoutOverride: policy?.allow_timeout_override ?? false,
  };
}
