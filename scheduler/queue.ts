/** A first-in-first-out queue that any member can leave at once: a doubly linked list. */

interface Node<T> {
  readonly value: T;
  previous: Node<T> | undefined;
  next: Node<T> | undefined;
}

/** A value's place in its queue; hand it back to leave. */
export type QueuePlace<T> = Node<T>;

export class Queue<T> implements Iterable<T> {
  #head: Node<T> | undefined;
  #tail: Node<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(value: T): QueuePlace<T> {
    const node: Node<T> = { value, previous: this.#tail, next: undefined };
    if (this.#tail === undefined) this.#head = node;
    else this.#tail.next = node;
    this.#tail = node;
    this.#size++;
    return node;
  }

  /** Puts a value before the oldest. */
  unshift(value: T): QueuePlace<T> {
    const node: Node<T> = { value, previous: undefined, next: this.#head };
    if (this.#head === undefined) this.#tail = node;
    else this.#head.previous = node;
    this.#head = node;
    this.#size++;
    return node;
  }

  /** Takes the oldest value out. */
  shift(): T | undefined {
    const head = this.#head;
    if (head !== undefined) this.remove(head);
    return head?.value;
  }

  /** Takes one value out; each place leaves once. */
  remove(place: QueuePlace<T>): void {
    if (place.previous === undefined) this.#head = place.next;
    else place.previous.next = place.next;
    if (place.next === undefined) this.#tail = place.previous;
    else place.next.previous = place.previous;
    this.#size--;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let node = this.#head; node !== undefined; node = node.next) yield node.value;
  }
}
