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

  constructor(log: Log) {
    this.#log = log;
  }

  /** Closes the versions of each group together, each group after the one before: users before their parts. */
  close(groups: readonly (readonly Retired[])[]): void {
    if (groups.every((group) => group.length === 0)) return;
    this.#start(async () => {
      for (const group of groups) await Promise.all(group.map((item) => this.#close(item)));
    });
  }

  /** Does work once everything that is closing now is closed. */
  afterwards(work: () => Promise<void>): void {
    const before = [...this.#work];
    this.#start(async () => {
      await Promise.all(before);
      await work();
    });
  }

  /** Resolves when nothing is left to close. */
  async idle(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  async #close({ entry, loaded, reason }: Retired): Promise<void> {
    await loaded.model.close();
    entry.retired(loaded, reason);
    const { name, version } = loaded;
    this.#log.info({ model: name, version: loaded.number }, `successfully unloaded '${name}' version ${version}`);
  }

  #start(work: () => Promise<void>): void {
    const running: Promise<void> = work()
      .catch((error: unknown) => {
        this.#log.error({ reason: InferenceError.from(error).message }, "a model did not close cleanly");
      })
      .finally(() => this.#work.delete(running));
    this.#work.add(running);
  }
}
