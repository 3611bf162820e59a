/** Lets work on the same models wait for each other, in the order it came, and work on other models go ahead. */

interface Holder {
  readonly names: ReadonlySet<string>;
  start: (() => void) | undefined;
}

export class NameLocks {
  /** Running and waiting work, oldest first; waiting work has `start`. */
  readonly #holders: Holder[] = [];

  /** Resolves once no earlier work on any of these names is left; the result ends this work. */
  acquire(names: ReadonlySet<string>): Promise<() => void> {
    return new Promise((resolve) => {
      const holder: Holder = { names, start: undefined };
      holder.start = () => {
        holder.start = undefined;
        resolve(() => this.#release(holder));
      };
      this.#holders.push(holder);
      this.#startWhatCan();
    });
  }

  #release(holder: Holder): void {
    this.#holders.splice(this.#holders.indexOf(holder), 1);
    this.#startWhatCan();
  }

  #startWhatCan(): void {
    const taken = new Set<string>();
    for (const holder of [...this.#holders]) {
      if (holder.start !== undefined && ![...holder.names].some((name) => taken.has(name))) holder.start();
      for (const name of holder.names) taken.add(name);
    }
  }
}
