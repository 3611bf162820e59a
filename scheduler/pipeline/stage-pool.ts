/** The copies of one stage: a batch waits for a free one, and only so many wait. */
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Cancellation } from "../cancellation.ts";
import type { Clock } from "../clock.ts";
import type { ExecutedBatch, InstanceReport, ModelInstance } from "../instance.ts";
import { InstancePool, type PooledInstance } from "../instance-pool.ts";
import { Semaphore } from "../semaphore.ts";

/** What a stage did so far. */
export interface StageCounters {
  /** Batches run. */
  readonly executionCount: number;
  /** Time its copies were running, in milliseconds, added up. */
  readonly busyMs: number;
}

export class StagePool {
  readonly #pool: InstancePool;
  readonly #free: Semaphore;
  readonly #room: Semaphore;
  readonly #clock: Clock;
  /** Batches that wait for a copy that is being replaced, oldest first. */
  readonly #waiting: { resolve: (slot: PooledInstance) => void; reject: (reason: Error) => void }[] = [];
  #executionCount = 0;
  #busyMs = 0;

  /** Each copy runs one batch, and one more may wait for it: more would only wait longer. */
  constructor(instances: readonly ModelInstance[], clock: Clock) {
    this.#pool = new InstancePool(instances);
    this.#free = new Semaphore(instances.length);
    this.#room = new Semaphore(2 * instances.length);
    this.#clock = clock;
    this.#pool.onOutageChange(() => this.#serveWaiting());
  }

  get reports(): readonly InstanceReport[] {
    return this.#pool.reports;
  }

  get counters(): StageCounters {
    return { executionCount: this.#executionCount, busyMs: this.#busyMs };
  }

  /** Resolves when the batch may come here: until then it keeps the copy of the stage before. */
  enter(): Promise<void> {
    return this.#room.acquire();
  }

  /** The batch has gone on. */
  leave(): void {
    this.#room.release();
  }

  /** Runs a batch that has entered on the next free copy, which stays taken until `giveBack`. */
  async run(
    request: InferenceRequest,
    cancellation: Cancellation | undefined,
  ): Promise<{ readonly batch: ExecutedBatch; readonly giveBack: () => void }> {
    await this.#free.acquire();
    const slot = await this.#take();
    const startedMs = this.#clock.now();
    const giveBack = () => {
      this.#pool.giveBack(slot);
      this.#free.release();
    };
    try {
      if (cancellation?.reason !== undefined) throw cancellation.reason;
      const batch = await slot.instance.execute([request], cancellation);
      slot.failuresInARow = 0;
      return { batch, giveBack };
    } catch (error) {
      slot.failuresInARow++;
      giveBack();
      throw error;
    } finally {
      const ms = this.#clock.now() - startedMs;
      slot.busyMs += ms;
      this.#busyMs += ms;
      this.#executionCount++;
    }
  }

  /** The semaphore counts the free copies, so that there is one, though it may be out; the semaphore is released on failure. */
  async #take(): Promise<PooledInstance> {
    const slot = this.#pool.take();
    if (slot !== undefined) return slot;
    try {
      return await new Promise<PooledInstance>((resolve, reject) => {
        this.#waiting.push({ resolve, reject });
        this.#serveWaiting();
      });
    } catch (error) {
      this.#free.release();
      throw error;
    }
  }

  #serveWaiting(): void {
    const reason = this.#pool.downReason;
    while (this.#waiting.length > 0) {
      const slot = this.#pool.take();
      if (slot === undefined && reason === undefined) return;
      const next = this.#waiting.shift();
      if (slot === undefined)
        next?.reject(reason as Error); // checked above
      else next?.resolve(slot);
    }
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
