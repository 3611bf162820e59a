/**
 * Time, passed in everywhere: the server runs on the system's clock, tests and the simulator on a virtual one.
 * All times are milliseconds of a monotonic clock.
 */

export interface Clock {
  /** Monotonic milliseconds with sub-millisecond digits. */
  now(): number;
  /** Wall-clock milliseconds since the epoch, for what people read; never for durations. */
  epochMs(): number;
  /** Calls back once at `time`, give or take the clock's grain; returns a function that cancels. */
  at(time: number, callback: () => void): () => void;
  /** Calls back once everything that arrived in this turn of the event loop has been read. */
  soon(callback: () => void): void;
}

/** The machine's monotonic clock. Node's timers have a grain of about one millisecond. */
export class SystemClock implements Clock {
  now(): number {
    return performance.now();
  }

  epochMs(): number {
    return Date.now();
  }

  at(time: number, callback: () => void): () => void {
    const timer = setTimeout(callback, Math.max(0, Math.ceil(time - performance.now())));
    return () => clearTimeout(timer);
  }

  soon(callback: () => void): void {
    setImmediate(callback);
  }
}

interface Due {
  readonly time: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that moves only when told to. Callbacks run in order of time, then of registration. */
export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  #due: Due[] = [];

  now(): number {
    return this.#now;
  }

  epochMs(): number {
    return this.#now;
  }

  at(time: number, callback: () => void): () => void {
    const due: Due = { time: Math.max(time, this.#now), order: this.#order++, callback };
    this.#due.push(due);
    return () => {
      this.#due = this.#due.filter((other) => other !== due);
    };
  }

  soon(callback: () => void): void {
    this.at(this.#now, callback);
  }

  /** Runs everything due within the next `ms` milliseconds; settles promises before each callback and at the end. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settlePromises();
    for (let due = this.#next(end); due !== undefined; due = this.#next(end)) {
      this.#now = due.time;
      due.callback();
      await settlePromises();
    }
    this.#now = end;
  }

  #next(end: number): Due | undefined {
    let next: Due | undefined;
    for (const due of this.#due) {
      if (due.time > end) continue;
      if (next === undefined || due.time < next.time || (due.time === next.time && due.order < next.order)) next = due;
    }
    if (next !== undefined) this.#due.splice(this.#due.indexOf(next), 1);
    return next;
  }
}

function settlePromises(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
