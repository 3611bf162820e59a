/** The copies of one stage: a batch waits for a free one, and only so many wait. */
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Cancellation } from "../cancellation.ts";
import type { Clock } from "../clock.ts";
import type { ExecutedBatch, InstanceReport, ModelInstance, Outage } from "../instance.ts";
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
  readonly #room: Semaphore;
  readonly #clock: Clock;
  /** Batches that wait for a copy, oldest first. */
  readonly #waiting: { resolve: (slot: PooledInstance) => void; reject: (reason: Error) => void }[] = [];
  #executionCount = 0;
  #busyMs = 0;

  /** Each copy runs one batch, and one more may wait for it: more would only wait longer. */
  constructor(instances: readonly ModelInstance[], clock: Clock) {
    this.#pool = new InstancePool(instances);
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

  /** Outages of single copies. */
  get outages(): readonly Outage[] {
    return this.#pool.all.flatMap(({ instance }) => instance.outage ?? []);
  }

  /** Why no batch runs here for now; undefined where at least one copy does. */
  get outage(): Outage | undefined {
    const outages = this.outages;
    if (outages.length < this.#pool.all.length) return undefined;
    return outages.find(({ isDown }) => !isDown) ?? outages[0];
  }

  /** Calls back whenever a copy is lost, given up or back. */
  onOutageChange(callback: () => void): void {
    this.#pool.onOutageChange(callback);
  }

  /** Resolves when the batch may come here: until then it keeps the copy of the stage before. */
  enter(): Promise<void> {
    return this.#room.acquire();
  }

  /** The batch has gone on. */
  leave(): void {
    this.#room.release();
  }

  /**
   * Runs a batch that has entered on the next free copy, which stays taken until `giveBack`. A batch waits for a copy that
   * is started again; it fails where all of them ended too often.
   */
  async run(
    request: InferenceRequest,
    cancellation: Cancellation | undefined,
  ): Promise<{ readonly batch: ExecutedBatch; readonly giveBack: () => void }> {
    const slot = await this.#take();
    const startedMs = this.#clock.now();
    const giveBack = () => {
      this.#pool.giveBack(slot);
      this.#serveWaiting();
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

  #take(): Promise<PooledInstance> {
    return new Promise<PooledInstance>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#serveWaiting();
    });
  }

  #serveWaiting(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const slot = this.#pool.take();
      const reason = this.#pool.downReason;
      if (slot !== undefined) next.resolve(slot);
      else if (reason !== undefined) next.reject(reason);
      else return;
      this.#waiting.shift();
    }
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
