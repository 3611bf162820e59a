/** Free replicas of a stage, handed out as `BatchedModel` chooses: the one that worked least, of these the longest free. */

/** What the choice looks at. */
interface Worker {
  /** How long it was taken by batches. */
  readonly busyMs: number;
  /** Counts up over the stage: who became free first. */
  idleOrder: number;
}

/** A binary heap, since a stage may have thousands of replicas. */
export class IdleReplicas<Replica extends Worker> {
  readonly #heap: Replica[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  add(replica: Replica): void {
    replica.idleOrder = this.#order++;
    const heap = this.#heap;
    let place = heap.length;
    heap.push(replica);
    while (place > 0) {
      const parentPlace = (place - 1) >> 1;
      const parent = heap[parentPlace];
      if (parent === undefined || isBefore(parent, replica)) break;
      heap[place] = parent;
      place = parentPlace;
    }
    heap[place] = replica;
  }

  /** The next to work; undefined where all do. */
  take(): Replica | undefined {
    const heap = this.#heap;
    const taken = heap[0];
    const moved = heap.pop();
    if (moved === undefined || moved === taken) return taken;
    const size = heap.length;
    let place = 0;
    for (let child = 1; child < size; child = 2 * place + 1) {
      let best = heap[child];
      const right = heap[child + 1];
      if (best !== undefined && right !== undefined && isBefore(right, best)) {
        best = right;
        child++;
      }
      if (best === undefined || isBefore(moved, best)) break;
      heap[place] = best;
      place = child;
    }
    heap[place] = moved;
    return taken;
  }
}

function isBefore(a: Worker, b: Worker): boolean {
  return a.busyMs < b.busyMs || (a.busyMs === b.busyMs && a.idleOrder < b.idleOrder);
}
