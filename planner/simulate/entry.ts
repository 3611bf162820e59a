/**
 * What waits and runs in the simulator. An entry is the rows of one request that wait for a level together: what the
 * server's cascade sends as one request to a model. It is named by its first row, since a row is in one entry at a time;
 * its figures lie in arrays by that name, in the order of arrival, which is the order they are used in.
 */
import type { QueuedRequest } from "../../scheduler/batcher.ts";
import { MOST_RUNNING } from "../../scheduler/cascade/shadow.ts";

/** No entry, no row. */
export const NONE = -1;

/** Those that run, and those that follow them while their batch is still being taken apart. */
const MOST_SHADOWS = 2 * MOST_RUNNING;

/** All entries of a simulation. Those of shadows, whose rows nobody waits for, have names behind the rows'. */
export class Entries {
  /** Rows of each entry. */
  readonly sizes: Int32Array;
  readonly enqueuedMs: Float64Array;
  /** The entry behind it in its queue or batch; NONE: it is the last. */
  readonly next: Int32Array;
  readonly #rows: number;
  readonly #freeShadows: number[];

  /** `rows`: of all requests. */
  constructor(rows: number) {
    this.#rows = rows;
    this.sizes = new Int32Array(rows + MOST_SHADOWS);
    this.enqueuedMs = new Float64Array(rows + MOST_SHADOWS);
    this.next = new Int32Array(rows + MOST_SHADOWS);
    this.#freeShadows = Array.from({ length: MOST_SHADOWS }, (_, i) => rows + i);
  }

  isShadow(entry: number): boolean {
    return entry >= this.#rows;
  }

  /** A shadow of so many rows; no more than MOST_SHADOWS are there at once. */
  takeShadow(rows: number): number {
    const entry = this.#freeShadows.pop() ?? NONE;
    this.sizes[entry] = rows;
    this.next[entry] = NONE;
    return entry;
  }

  freeShadow(entry: number): void {
    this.#freeShadows.push(entry);
  }
}

/** A batch on its way through the stages of its level. */
export interface Batch {
  /** The first of its entries. */
  readonly entries: number;
  readonly rows: number;
  /** Node that its tensors lie on; undefined before the first stage. */
  node: string | undefined;
}

/**
 * A level's queue, first in first out. Iterating it makes no garbage: there is one iterator, so one loop at a time, and
 * what it yields holds until the next step, but for the first, which holds until the next loop.
 */
export class EntryQueue implements Iterable<QueuedRequest> {
  readonly #entries: Entries;
  #head = NONE;
  #tail = NONE;
  #size = 0;
  readonly #iterator: EntryIterator;

  constructor(entries: Entries) {
    this.#entries = entries;
    this.#iterator = new EntryIterator(entries);
  }

  get size(): number {
    return this.#size;
  }

  push(entry: number): void {
    if (this.#tail === NONE) this.#head = entry;
    else this.#entries.next[this.#tail] = entry;
    this.#tail = entry;
    this.#size++;
  }

  /** Takes the first `count` out, at least one and at most all, chained by `next`. */
  take(count: number): number {
    const { next } = this.#entries;
    const head = this.#head;
    let last = head;
    for (let i = 1; i < count; i++) last = next[last] ?? NONE;
    this.#size -= count;
    if (this.#size === 0) {
      this.#head = NONE;
      this.#tail = NONE;
    } else {
      this.#head = next[last] ?? NONE;
      next[last] = NONE;
    }
    return head;
  }

  [Symbol.iterator](): Iterator<QueuedRequest> {
    return this.#iterator.from(this.#head);
  }
}

class EntryView implements QueuedRequest {
  rows = 0;
  enqueuedMs = 0;
  readonly batchKey = "";
}

class EntryIterator implements Iterator<QueuedRequest> {
  readonly #entries: Entries;
  #entry = NONE;
  /** `decide` comes back to the first request, the others it looks at once. */
  readonly #first = new EntryView();
  readonly #other = new EntryView();
  #view = this.#first;
  readonly #result: { done: false; value: QueuedRequest } = { done: false, value: this.#first };

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  from(entry: number): this {
    this.#entry = entry;
    this.#view = this.#first;
    return this;
  }

  next(): IteratorResult<QueuedRequest> {
    const entry = this.#entry;
    if (entry === NONE) return DONE;
    const { sizes, enqueuedMs, next } = this.#entries;
    const view = this.#view;
    view.rows = sizes[entry] ?? 0;
    view.enqueuedMs = enqueuedMs[entry] ?? 0;
    this.#entry = next[entry] ?? NONE;
    this.#view = this.#other;
    this.#result.value = view;
    return this.#result;
  }
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };
