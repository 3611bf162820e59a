/** The instances of a model and which of them are free. */
import type { InferenceError } from "../proto/errors.ts";
import type { InstanceReport, ModelInstance } from "./instance.ts";

/** An instance with its history, by which the next batch chooses. */
export interface PooledInstance {
  readonly instance: ModelInstance;
  busyMs: number;
  failuresInARow: number;
}

export class InstancePool {
  readonly all: readonly PooledInstance[];
  readonly #idle: Set<PooledInstance>;
  readonly #onOutageChange: (() => void)[] = [];

  constructor(instances: readonly ModelInstance[]) {
    this.all = instances.map((instance) => ({ instance, busyMs: 0, failuresInARow: 0 }));
    this.#idle = new Set(this.all);
    for (const instance of instances) {
      instance.onOutageChange?.(() => {
        for (const callback of this.#onOutageChange) callback();
      });
    }
  }

  get idleCount(): number {
    return this.#idle.size;
  }

  /** State of every instance that can be lost. */
  get reports(): readonly InstanceReport[] {
    return this.all.flatMap(({ instance }) => instance.reports ?? instance.report ?? []);
  }

  /** Why there is no use in waiting for an instance: all of them ended too often. */
  get downReason(): InferenceError | undefined {
    const isDown = this.all.every(({ instance }) => instance.outage?.isDown === true);
    return isDown ? this.all[0]?.instance.outage?.reason : undefined;
  }

  /** Calls back whenever an instance is lost, given up or back. */
  onOutageChange(callback: () => void): void {
    this.#onOutageChange.push(callback);
  }

  /** Takes the free instance that failed least recently and worked least; undefined: all are busy or out. */
  take(): PooledInstance | undefined {
    let best: PooledInstance | undefined;
    for (const slot of this.#idle) {
      if (slot.instance.outage !== undefined) continue;
      if (
        best === undefined ||
        slot.failuresInARow < best.failuresInARow ||
        (slot.failuresInARow === best.failuresInARow && slot.busyMs < best.busyMs)
      ) {
        best = slot;
      }
    }
    if (best !== undefined) this.#idle.delete(best);
    return best;
  }

  /** Gives an instance back; nothing happens where it already is. */
  giveBack(slot: PooledInstance): void {
    this.#idle.add(slot);
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((slot) => slot.instance.close()));
  }
}
