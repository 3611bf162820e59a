/** A model whose requests wait in one queue and run in batches on its instances. */
import { InferenceError } from "../proto/errors.ts";
import { type InferenceRequest, NO_PARAMETERS } from "../proto/inference.ts";
import { BatchCancellation } from "./batch-cancellation.ts";
import { batchKey, hasBatchKeys } from "./batch-key.ts";
import { type BatchPolicy, decide } from "./batcher.ts";
import type { Cancellation } from "./cancellation.ts";
import type { Clock } from "./clock.ts";
import type { ExecutedBatch, InstanceReport, ModelInstance } from "./instance.ts";
import { InstancePool, type PooledInstance } from "./instance-pool.ts";
import { afterLoss, type Fingerprint, InstanceLostError, PoisonMemory, poisonError } from "./lost-batch.ts";
import type { Model, ModelResponse } from "./model.ts";
import { Queue } from "./queue.ts";
import { type Entry, requested } from "./queue-entry.ts";
import { checkRoom, type QueuePolicy, queueTimeoutMs, stopping } from "./queue-policy.ts";
import { ResponseOrder } from "./response-order.ts";
import type { ModelSignature } from "./signature.ts";
import { type FailureReason, ModelStatistics } from "./statistics.ts";
import { validateRequest } from "./validate-request.ts";
import { WakeUp } from "./wake-up.ts";

export interface BatchedModelOptions {
  readonly signature: ModelSignature;
  /** At least one; each gets its next batch when the last one is done, or when it says that it is free. */
  readonly instances: readonly ModelInstance[];
  /** null: Triton's default scheduler, one request an execution. */
  readonly batching: BatchPolicy | null;
  readonly queuePolicy: QueuePolicy;
  readonly clock: Clock;
  /** Tells requests that end instances when they come again; absent: they are not remembered. */
  readonly fingerprint?: Fingerprint;
}

export class BatchedModel implements Model {
  readonly signature: ModelSignature;
  readonly statistics = new ModelStatistics();
  readonly #batching: BatchPolicy | null;
  readonly #queuePolicy: QueuePolicy;
  readonly #clock: Clock;
  readonly #pool: InstancePool;
  readonly #queue = new Queue<Entry>();
  readonly #wakeUp: WakeUp;
  readonly #order: ResponseOrder | undefined;
  readonly #hasBatchKeys: boolean;
  readonly #poison: PoisonMemory | undefined;
  /** Requests that were put into batches of their own. */
  #alone = 0;
  #nextExpiryMs = Number.POSITIVE_INFINITY;
  #dispatchIsDue = false;
  /** Batches sent to instances and not answered yet. */
  #running = 0;
  #closed: Promise<void> | undefined;
  #onDrained: (() => void) | undefined;

  constructor(options: BatchedModelOptions) {
    this.signature = options.signature;
    this.#batching = options.batching;
    this.#queuePolicy = options.queuePolicy;
    this.#clock = options.clock;
    this.#pool = new InstancePool(options.instances);
    this.#wakeUp = new WakeUp(options.clock, () => this.#dispatch());
    this.#order = options.batching?.preserveOrdering === true ? new ResponseOrder() : undefined;
    this.#poison = options.fingerprint === undefined ? undefined : new PoisonMemory(options.fingerprint);
    this.#pool.onOutageChange(() => this.#dispatch());
    this.#hasBatchKeys = hasBatchKeys(options.signature);
  }

  /** Not while every instance has ended too often. */
  get isReady(): boolean {
    return this.#pool.downReason === undefined;
  }

  /** State of every instance that can be lost. */
  get instanceReports(): readonly InstanceReport[] {
    return this.#pool.reports;
  }

  infer(request: InferenceRequest, cancellation?: Cancellation): Promise<ModelResponse> {
    return new Promise((resolve, reject) => {
      const enqueuedMs = this.#clock.now();
      const rows = this.#admit(request, cancellation, enqueuedMs);
      const entry: Entry = {
        request,
        rows: Math.max(1, rows),
        enqueuedMs,
        batchKey: this.#batchKey(request, rows),
        losses: 0,
        expiresMs: enqueuedMs + queueTimeoutMs(this.#queuePolicy, request),
        deliver: this.#order?.enter() ?? deliverAtOnce,
        resolve,
        reject,
        deadlineMs: cancellation?.deadlineMs ?? Number.POSITIVE_INFINITY,
        place: undefined,
        batch: undefined,
        finished: false,
      };
      entry.place = this.#queue.push(entry);
      this.statistics.pendingRequestCount++;
      if (entry.expiresMs < this.#nextExpiryMs) this.#nextExpiryMs = entry.expiresMs;
      cancellation?.onCancel((reason) => this.#fail(entry, reason, "CANCELED"));
      this.#arrived();
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#drain();
    return this.#closed;
  }

  /** Batch size of a request that may wait; throws, and counts, where it may not. */
  #admit(request: InferenceRequest, cancellation: Cancellation | undefined, nowMs: number): number {
    let reason: FailureReason = "OTHER";
    try {
      if (this.#closed !== undefined) throw stopping(request);
      const rows = validateRequest(this.signature, request);
      reason = "CANCELED";
      if (cancellation?.reason !== undefined) throw cancellation.reason;
      reason = "REJECTED";
      this.#poison?.check(request, nowMs);
      checkRoom(this.#queuePolicy, this.#queue.size, request);
      return rows;
    } catch (error) {
      if (isCounted(request)) this.statistics.recordFailure(reason, this.#clock.now() - nowMs);
      throw error;
    }
  }

  /** An empty request runs alone, since models may choke on no rows. */
  #batchKey(request: InferenceRequest, rows: number): string {
    if (rows === 0) return `empty:${this.#clock.now()}`;
    return this.#hasBatchKeys ? batchKey(this.signature, request) : "";
  }

  /** Looks for work at the end of this turn, when all that arrived with it is queued; at once where nothing batches. */
  #arrived(): void {
    if (this.#pool.idleCount === 0) {
      this.#wakeUp.schedule(this.#nextExpiryMs);
    } else if (this.#batching === null) {
      this.#dispatch();
    } else if (!this.#dispatchIsDue) {
      this.#dispatchIsDue = true;
      this.#clock.soon(() => {
        this.#dispatchIsDue = false;
        this.#dispatch();
      });
    }
  }

  /** Sends batches while there are free instances and the policy says so. */
  #dispatch(): void {
    const nowMs = this.#clock.now();
    if (nowMs >= this.#nextExpiryMs) this.#expire(nowMs);
    while (this.#queue.size > 0 && this.#pool.idleCount > 0) {
      const decision = this.#batching === null ? SINGLE : decide(this.#queue, this.#batching, nowMs);
      if (decision.kind === "wait") this.#wakeUp.schedule(decision.untilMs);
      if (decision.kind !== "dispatch") break;
      const slot = this.#pool.take();
      if (slot === undefined) {
        this.#refuseWhereAllAreDown();
        break;
      }
      void this.#run(slot, this.#take(decision.count), nowMs);
    }
    this.#wakeUp.schedule(this.#nextExpiryMs);
  }

  /** Nothing waits for instances that ended too often. */
  #refuseWhereAllAreDown(): void {
    const reason = this.#pool.downReason;
    if (reason === undefined) return;
    for (const entry of [...this.#queue]) this.#fail(entry, reason, "BACKEND");
  }

  #take(count: number): Entry[] {
    const entries: Entry[] = [];
    while (entries.length < count) {
      const entry = this.#queue.shift();
      if (entry === undefined) break;
      entry.place = undefined;
      entries.push(entry);
    }
    this.statistics.pendingRequestCount -= entries.length;
    return entries;
  }

  /** Runs one batch to its end. Never rejects: every outcome goes to the callers. */
  async #run(slot: PooledInstance, entries: readonly Entry[], startedMs: number): Promise<void> {
    this.#running++;
    const startedEpochMs = this.#clock.epochMs();
    const wanted = new BatchCancellation(entries.map((entry) => entry.deadlineMs));
    for (const entry of entries) entry.batch = wanted;
    let isFree = false;
    const free = () => {
      if (isFree) return;
      isFree = true;
      this.#pool.giveBack(slot);
      this.#dispatch();
    };
    try {
      const requests = entries.map((entry) => entry.request);
      const batch = await slot.instance.execute(requests, wanted.cancellation, free);
      this.#answer(entries, batch, startedMs, startedEpochMs);
      slot.failuresInARow = 0;
    } catch (error) {
      slot.failuresInARow++;
      for (const entry of entries) entry.batch = undefined; // it has ended: nothing to cancel
      if (error instanceof InstanceLostError) this.#afterLoss(entries, error);
      else for (const entry of entries) this.#fail(entry, InferenceError.from(error), "BACKEND");
    }
    slot.busyMs += this.#clock.now() - startedMs;
    this.#running--;
    free();
    if (this.#isDrained()) this.#onDrained?.();
  }

  /** Requests of a batch whose instance ended go back to the front of the queue, or fail. */
  #afterLoss(entries: readonly Entry[], error: InstanceLostError): void {
    const nowMs = this.#clock.now();
    for (const entry of entries.toReversed()) {
      if (entry.finished) continue;
      entry.losses++;
      const verdict = afterLoss(entry.losses, entry.deadlineMs, nowMs);
      if (verdict === "poison") this.#poison?.remember(entry.request, nowMs);
      if (verdict === "poison" || verdict === "fail") {
        this.#fail(entry, verdict === "poison" ? poisonError(this.signature.name, error) : error, "BACKEND");
        continue;
      }
      if (verdict === "rerunAlone") entry.batchKey = `alone:${this.#alone++}`;
      entry.place = this.#queue.unshift(entry);
      this.statistics.pendingRequestCount++;
      if (entry.expiresMs < this.#nextExpiryMs) this.#nextExpiryMs = entry.expiresMs;
    }
    this.#dispatch();
  }

  #answer(entries: readonly Entry[], batch: ExecutedBatch, startedMs: number, startedEpochMs: number): void {
    const { name, version } = this.signature;
    const endedMs = this.#clock.now();
    let rows = 0;
    for (const entry of entries) rows += entry.rows;
    if (entries.some(({ request }) => isCounted(request))) {
      this.statistics.recordExecution(rows, batch.timing, startedEpochMs);
    }
    entries.forEach((entry, i) => {
      if (entry.finished) return;
      entry.finished = true;
      const response: ModelResponse = {
        modelName: name,
        modelVersion: version,
        id: entry.request.id,
        parameters: NO_PARAMETERS,
        outputs: requested(entry.request, batch.outputs[i] ?? []),
        timing: batch.timing,
      };
      if (isCounted(entry.request)) {
        this.statistics.recordSuccess(
          entry.rows,
          endedMs - entry.enqueuedMs,
          startedMs - entry.enqueuedMs,
          batch.timing,
        );
      }
      entry.deliver(() => entry.resolve(response));
    });
  }

  /** Ends a request without an answer, wherever it is; it leaves the queue at once. */
  #fail(entry: Entry, error: InferenceError, reason: FailureReason): void {
    if (entry.finished) return;
    entry.finished = true;
    if (entry.place !== undefined) {
      this.#queue.remove(entry.place);
      entry.place = undefined;
      this.statistics.pendingRequestCount--;
    }
    entry.batch?.leave(error);
    if (isCounted(entry.request)) this.statistics.recordFailure(reason, this.#clock.now() - entry.enqueuedMs);
    entry.deliver(() => entry.reject(error));
    if (this.#isDrained()) this.#onDrained?.();
  }

  #expire(nowMs: number): void {
    this.#nextExpiryMs = Number.POSITIVE_INFINITY;
    for (const entry of [...this.#queue]) {
      if (entry.expiresMs <= nowMs) {
        this.#fail(entry, new InferenceError("UNAVAILABLE", "Request timeout expired"), "REJECTED");
      } else if (entry.expiresMs < this.#nextExpiryMs) {
        this.#nextExpiryMs = entry.expiresMs;
      }
    }
  }

  async #drain(): Promise<void> {
    if (!this.#isDrained()) {
      await new Promise<void>((resolve) => {
        this.#onDrained = resolve;
      });
    }
    this.#wakeUp.cancel();
    await this.#pool.close();
  }

  #isDrained(): boolean {
    return this.#queue.size === 0 && this.#running === 0;
  }
}

const SINGLE = { kind: "dispatch", count: 1 } as const;

function deliverAtOnce(outcome: () => void): void {
  outcome();
}

function isCounted({ isProbe }: InferenceRequest): boolean {
  return isProbe !== true;
}
