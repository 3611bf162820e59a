/** Polls the repository: one scan at a time, and a scan that fails changes nothing. */
import { InferenceError } from "../proto/errors.ts";
import type { Clock } from "../scheduler/clock.ts";
import type { Log } from "./log.ts";
import { afterLoad, decidePoll, type PolledModel, type Scan } from "./poll-policy.ts";

export interface PollerOptions {
  /** Between the end of one poll and the start of the next. */
  readonly intervalMs: number;
  readonly allowMassUnload: boolean;
  /** Looks at the disk; rejects when a repository cannot be read. */
  scan(): Promise<Scan>;
  /** Loads and unloads; resolves to the models whose load failed. */
  apply(load: readonly string[], unload: readonly string[]): Promise<ReadonlySet<string>>;
  readonly clock: Clock;
  readonly log: Log;
}

/** A disk that has not answered by then counts as unreadable. */
const SCAN_TIMEOUT_MS = 10_000;

export class Poller {
  readonly #options: PollerOptions;
  #models = new Map<string, PolledModel>();
  /** The scan that the disk still owes; no other one is begun meanwhile. */
  #pendingScan: Promise<Scan> | undefined;
  #cancelTimer: (() => void) | undefined;
  #running: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: PollerOptions) {
    this.#options = options;
  }

  /** Begins to poll; `initial` is what was loaded from, `failed` the models whose load failed. */
  start(initial: Scan, failed: ReadonlySet<string>): void {
    for (const [name, files] of initial) {
      if (files !== undefined) this.#models.set(name, afterLoad(undefined, files, failed.has(name)));
    }
    this.#schedule();
  }

  /** Ends polling; a poll under way is waited for. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  #schedule(): void {
    if (this.#isStopped) return;
    const { clock, intervalMs } = this.#options;
    this.#cancelTimer = clock.at(clock.now() + intervalMs, () => {
      this.#running = this.#poll().then(() => this.#schedule());
    });
  }

  async #poll(): Promise<void> {
    const { log, allowMassUnload } = this.#options;
    try {
      const scan = await this.#scanInTime();
      const decision = decidePoll(this.#models, scan, allowMassUnload);
      this.#models = new Map(decision.models);
      if (decision.kept.length > 0) {
        log.warn(
          { models: decision.kept },
          "more than half of the models vanished from the repository: they stay loaded; --allow-mass-unload unloads them",
        );
      }
      if (decision.load.length === 0 && decision.unload.length === 0) return;
      const failed = await this.#options.apply(decision.load, decision.unload);
      for (const name of decision.load) {
        const files = scan.get(name);
        if (files !== undefined) this.#models.set(name, afterLoad(this.#models.get(name), files, failed.has(name)));
      }
    } catch (error) {
      log.error(
        { reason: InferenceError.from(error).message },
        "failed to poll the model repository: nothing is changed",
      );
    }
  }

  async #scanInTime(): Promise<Scan> {
    if (this.#pendingScan !== undefined) throw new InferenceError("UNAVAILABLE", "the last scan has not ended yet");
    const scan = this.#options.scan();
    this.#pendingScan = scan;
    const forget = () => {
      this.#pendingScan = undefined;
    };
    scan.then(forget, forget);
    const { clock } = this.#options;
    let cancel: (() => void) | undefined;
    const timeout = new Promise<never>((_, reject) => {
      const late = new InferenceError("UNAVAILABLE", `the repository did not answer within ${SCAN_TIMEOUT_MS} ms`);
      cancel = clock.at(clock.now() + SCAN_TIMEOUT_MS, () => reject(late));
    });
    try {
      return await Promise.race([scan, timeout]);
    } finally {
      cancel?.();
    }
  }
}
