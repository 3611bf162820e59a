/** Closes models that no longer serve, in the background: requests in hand finish first. */
import { InferenceError } from "../proto/errors.ts";
import type { Log } from "./log.ts";
import type { LoadedVersion, ModelEntry } from "./model-entry.ts";

/** A version to close, and what the index says once it is. */
export interface Retired {
  readonly entry: ModelEntry;
  readonly loaded: LoadedVersion;
  readonly reason: string;
}

export class ModelCloser {
  readonly #log: Log;
  readonly #work = new Set<Promise<void>>();
  readonly #closing = new Map<LoadedVersion, Promise<void>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Closes versions, each once all that run on it and closed before or with it are closed. */
  close(retired: readonly Retired[]): void {
    const { promise: begin, resolve } = Promise.withResolvers<void>();
    for (const item of retired) {
      const closed = this.#start(async () => {
        await begin;
        await this.#close(item);
      });
      this.#closing.set(item.loaded, closed);
    }
    resolve();
  }

  /** Does work once everything that is closing now is closed. */
  afterwards(work: () => Promise<void>): void {
    const before = [...this.#work];
    void this.#start(async () => {
      await Promise.all(before);
      await work();
    });
  }

  /** Resolves when nothing is left to close. */
  async idle(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  async #close({ entry, loaded, reason }: Retired): Promise<void> {
    await Promise.all([...this.#closing].map(([user, closed]) => (user.parts.has(loaded) ? closed : undefined)));
    try {
      await loaded.model.close();
    } finally {
      this.#closing.delete(loaded);
    }
    entry.retired(loaded, reason);
    const { name, version } = loaded;
    this.#log.info({ model: name, version: loaded.number }, `successfully unloaded '${name}' version ${version}`);
  }

  #start(work: () => Promise<void>): Promise<void> {
    const running: Promise<void> = work()
      .catch((error: unknown) => {
        this.#log.error({ reason: InferenceError.from(error).message }, "a model did not close cleanly");
      })
      .finally(() => this.#work.delete(running));
    this.#work.add(running);
    return running;
  }
}
