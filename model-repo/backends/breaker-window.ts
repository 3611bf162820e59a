/**
 * When calls fail too often: opossum's rolling window, and the only file that knows opossum. It is told outcomes instead
 * of running the calls, so that calls in flight and neutral ones do not dilute the rate, and it never goes half-open:
 * coming back is the breaker's business. Settings: reliability.md 4.
 */
import { EventEmitter } from "node:events";
import CircuitBreaker from "opossum";
import type { Clock } from "../../scheduler/clock.ts";

/** Outcomes that count are those of the last ten seconds, in steps of one. */
export const WINDOW_MS = 10_000;
export const BUCKETS = 10;
/** With fewer outcomes in the window nothing is decided. */
export const VOLUME_THRESHOLD = 20;
/** More failures than this share of the window's outcomes are too many. */
export const ERROR_THRESHOLD_PERCENT = 50;

const BUCKET_MS = WINDOW_MS / BUCKETS;
/** The longest that Node's timers take; the window is thrown away long before. */
const NEVER_MS = 2_147_483_647;

export class BreakerWindow {
  readonly #clock: Clock;
  readonly #rotation = new EventEmitter();
  readonly #circuit: CircuitBreaker<[boolean], void>;
  #bucketStartMs: number;

  /** `onTooMany` is called once, soon after the failure that was one too many. */
  constructor(clock: Clock, onTooMany: () => void) {
    this.#clock = clock;
    this.#bucketStartMs = clock.now();
    this.#circuit = new CircuitBreaker(repeatOutcome, {
      timeout: false,
      resetTimeout: NEVER_MS,
      rollingCountTimeout: WINDOW_MS,
      rollingCountBuckets: BUCKETS,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      volumeThreshold: VOLUME_THRESHOLD,
      errorThresholdPercentage: ERROR_THRESHOLD_PERCENT,
      rotateBucketController: this.#rotation,
    });
    this.#circuit.once("open", onTooMany);
  }

  record(hasFailed: boolean): void {
    this.#rotate();
    // What is rejected is the outcome just handed in; its caller has the error.
    this.#circuit.fire(hasFailed).catch(() => undefined);
  }

  /** Frees the timer that opossum starts when it opens. */
  close(): void {
    this.#circuit.shutdown();
  }

  /** Buckets move with the clock that was passed in, and only when somebody looks: there is no timer. */
  #rotate(): void {
    const passed = Math.floor((this.#clock.now() - this.#bucketStartMs) / BUCKET_MS);
    for (let i = 0; i < Math.min(passed, BUCKETS); i++) this.#rotation.emit("rotate");
    this.#bucketStartMs += passed * BUCKET_MS;
  }
}

async function repeatOutcome(hasFailed: boolean): Promise<void> {
  if (hasFailed) throw OUTCOME;
}

const OUTCOME = new Error("the recorded call failed");
