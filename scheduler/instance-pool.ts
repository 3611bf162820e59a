/** The instances of a model and which of them are free. */
import type { ModelInstance } from "./instance.ts";

/** An instance with its history, by which the next batch chooses. */
export interface PooledInstance {
  readonly instance: ModelInstance;
  busyMs: number;
  failuresInARow: number;
}

export class InstancePool {
  readonly all: readonly PooledInstance[];
  readonly #idle: Set<PooledInstance>;

  constructor(instances: readonly ModelInstance[]) {
    this.all = instances.map((instance) => ({ instance, busyMs: 0, failuresInARow: 0 }));
    this.#idle = new Set(this.all);
  }

  get idleCount(): number {
    return this.#idle.size;
  }

  /** Takes the free instance that failed least recently and worked least; undefined: all are busy. */
  take(): PooledInstance | undefined {
    let best: PooledInstance | undefined;
    for (const slot of this.#idle) {
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
