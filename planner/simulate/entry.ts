/** What waits and runs in the simulator: requests to one level, their queue, and batches of them. */
import type { QueuedRequest } from "../../scheduler/batcher.ts";

/** Rows of one request that wait for a level together: what the server's cascade sends as one request to a model. */
export class Entry implements QueuedRequest {
  rows: number;
  enqueuedMs = 0;
  readonly batchKey = "";
  readonly isShadow: boolean;
  /** Ends of the chain of its rows; -1 for a shadow, whose rows nobody waits for. */
  readonly firstRow: number;
  lastRow: number;
  next: Entry | undefined;

  constructor(row: number, rows: number) {
    this.rows = rows;
    this.isShadow = row < 0;
    this.firstRow = row;
    this.lastRow = row;
  }
}

/** A batch on its way through the stages of its level. */
export interface Batch {
  readonly entries: Entry | undefined;
  readonly rows: number;
  /** Node that its tensors lie on; undefined before the first stage. */
  node: string | undefined;
}

/**
 * A level's queue, first in first out. Iterating it makes no garbage: there is one iterator, so one loop at a time.
 */
export class EntryQueue implements Iterable<Entry> {
  #head: Entry | undefined;
  #tail: Entry | undefined;
  #size = 0;
  readonly #iterator = new EntryIterator();

  get size(): number {
    return this.#size;
  }

  push(entry: Entry): void {
    if (this.#tail === undefined) this.#head = entry;
    else this.#tail.next = entry;
    this.#tail = entry;
    this.#size++;
  }

  /** Takes the first `count` out, chained by `next`. */
  take(count: number): Entry | undefined {
    const head = this.#head;
    let last = head;
    for (let i = 1; i < count; i++) last = last?.next;
    this.#head = last?.next;
    if (this.#head === undefined) this.#tail = undefined;
    if (last !== undefined) last.next = undefined;
    this.#size -= count;
    return head;
  }

  [Symbol.iterator](): Iterator<Entry> {
    return this.#iterator.from(this.#head);
  }
}

class EntryIterator implements Iterator<Entry> {
  #next: Entry | undefined;
  readonly #result: { done: false; value: Entry } = { done: false, value: new Entry(-1, 0) };

  from(entry: Entry | undefined): this {
    this.#next = entry;
    return this;
  }

  next(): IteratorResult<Entry> {
    const entry = this.#next;
    if (entry === undefined) return DONE;
    this.#next = entry.next;
    this.#result.value = entry;
    return this.#result;
  }
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };
