/**
 * Events to come, in order of time, then of registration: equal times are settled the same way every run, and as
 * `VirtualClock` settles them. A binary heap over typed arrays.
 */

const FIRST_CAPACITY = 1024;

export class EventHeap {
  #times = new Float64Array(FIRST_CAPACITY);
  #sequences = new Float64Array(FIRST_CAPACITY);
  #payloads = new Int32Array(FIRST_CAPACITY);
  #size = 0;
  #nextSequence = 0;

  get size(): number {
    return this.#size;
  }

  /** Time of the earliest event; Infinity without one. */
  get topMs(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : (this.#times[0] ?? 0);
  }

  /** Place of the earliest event in the order of registration; meaningless without one. */
  get topSequence(): number {
    return this.#sequences[0] ?? 0;
  }

  /** A place in the order of registration for something that is due outside the heap. */
  takeSequence(): number {
    return this.#nextSequence++;
  }

  /** Returns the event's place in the order of registration. */
  push(timeMs: number, payload: number): number {
    if (this.#size === this.#times.length) this.#grow();
    const sequence = this.#nextSequence++;
    const times = this.#times;
    const sequences = this.#sequences;
    const payloads = this.#payloads;
    let place = this.#size++;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const parentMs = times[parent] ?? 0;
      // An older event of the same time stays above: a new one has the highest sequence.
      if (parentMs <= timeMs) break;
      times[place] = parentMs;
      sequences[place] = sequences[parent] ?? 0;
      payloads[place] = payloads[parent] ?? 0;
      place = parent;
    }
    times[place] = timeMs;
    sequences[place] = sequence;
    payloads[place] = payload;
    return sequence;
  }

  /** Takes the earliest event out and returns its payload. The heap must not be empty. */
  pop(): number {
    const times = this.#times;
    const sequences = this.#sequences;
    const payloads = this.#payloads;
    const popped = payloads[0] ?? 0;
    const size = --this.#size;
    const timeMs = times[size] ?? 0;
    const sequence = sequences[size] ?? 0;
    const payload = payloads[size] ?? 0;
    let place = 0;
    for (let child = 1; child < size; child = 2 * place + 1) {
      const right = child + 1;
      let childMs = times[child] ?? 0;
      if (right < size) {
        const rightMs = times[right] ?? 0;
        if (rightMs < childMs || (rightMs === childMs && (sequences[right] ?? 0) < (sequences[child] ?? 0))) {
          child = right;
          childMs = rightMs;
        }
      }
      if (timeMs < childMs || (timeMs === childMs && sequence < (sequences[child] ?? 0))) break;
      times[place] = childMs;
      sequences[place] = sequences[child] ?? 0;
      payloads[place] = payloads[child] ?? 0;
      place = child;
    }
    times[place] = timeMs;
    sequences[place] = sequence;
    payloads[place] = payload;
    return popped;
  }

  #grow(): void {
    const capacity = this.#times.length * 2;
    const times = new Float64Array(capacity);
    const sequences = new Float64Array(capacity);
    const payloads = new Int32Array(capacity);
    times.set(this.#times);
    sequences.set(this.#sequences);
    payloads.set(this.#payloads);
    this.#times = times;
    this.#sequences = sequences;
    this.#payloads = payloads;
  }
}
