/**
 * Keeps calls away from a remote endpoint that fails: closed while calls may go, open after too many failures, and back
 * by probes of its own instead of user traffic, a growing share of the calls at a time (reliability.md 4). Its owner
 * classifies every outcome first.
 */
import type { Clock } from "../../scheduler/clock.ts";
import { rampShare } from "./breaker-ramp.ts";
import { BreakerWindow } from "./breaker-window.ts";

/** Neutral: says nothing about the endpoint's health, such as a bad request or a call that its caller gave up. */
export type CallOutcome = "success" | "failure" | "neutral";

/** 0 closed; 1 open; 2 open, and the last probe succeeded (half-open). */
export type BreakerState = 0 | 1 | 2;

/** What is known of one target of a model; read at scrape. */
export interface BreakerStatistics {
  /** `host:port`. */
  readonly endpoint: string;
  /** The model's name here, not its name on the remote. */
  readonly model: string;
  /** The worse of the endpoint's and of the model's there. */
  readonly state: BreakerState;
  /** State changes since the start, of both. */
  readonly transitions: number;
  /** The model's calls by outcome; `refused` never left because a breaker was open or let only a share go. */
  readonly calls: Readonly<Record<CallOutcome | "refused", number>>;
}

export interface BreakerOptions {
  readonly clock: Clock;
  /** Asks the endpoint whether it would serve; rejects where not. */
  readonly probe: () => Promise<void>;
  /** 0 to below 1, for the jitter of the probes. */
  readonly random?: () => number;
  /** Told of every change of state, with the reason. */
  readonly onChange?: (state: BreakerState, reason: string) => void;
}

/** The first probe comes after this; each failure doubles the delay, up to the longest. */
export const FIRST_PROBE_MS = 1_000;
export const LONGEST_PROBE_MS = 30_000;
/** After a success the next probe comes sooner, so that three of them take less than two first delays. */
export const NEXT_PROBE_MS = 500;
/** Successes in a row that close the breaker. */
export const PROBES_TO_CLOSE = 3;
/** Delays vary by this share up and down: many servers shall not probe in step. */
const JITTER = 0.1;

export class Breaker {
  readonly #options: BreakerOptions;
  readonly #random: () => number;
  #window: BreakerWindow;
  #state: BreakerState = 0;
  #transitions = 0;
  #closedSinceMs = Number.NEGATIVE_INFINITY;
  /** Probes of an earlier time that were still under way decide nothing. */
  #openings = 0;
  #reason = "";
  #probeFailures = 0;
  #probeSuccesses = 0;
  #cancelProbe: () => void = () => undefined;
  #isEnded = false;

  constructor(options: BreakerOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#window = this.#newWindow();
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** State changes since the start. */
  get transitions(): number {
    return this.#transitions;
  }

  /** When it closed last; -Infinity: it was never open; undefined: it is. */
  get closedSinceMs(): number | undefined {
    return this.#state === 0 ? this.#closedSinceMs : undefined;
  }

  /** Share of the calls that may go now: 0 while open, growing after closing, else 1. */
  get share(): number {
    return this.#state === 0 ? rampShare(this.#options.clock.now() - this.#closedSinceMs) : 0;
  }

  /** The last failure, of a call or a probe; "" before any. */
  get reason(): string {
    return this.#reason;
  }

  /**
   * Counts how a call ended; `reason` says why it failed. Calls that outlived an opening decide nothing, also where they
   * end after the closing: calls that hang for a minute say nothing about an endpoint that is back.
   */
  record(outcome: CallOutcome, reason: string, startedMs: number): void {
    if (outcome === "neutral" || this.#state !== 0 || this.#isEnded || startedMs < this.#closedSinceMs) return;
    if (outcome === "failure") this.#reason = reason;
    this.#window.record(outcome === "failure");
  }

  /** Opens at once, for an endpoint that is known to be down. */
  trip(reason: string): void {
    if (this.#state !== 0 || this.#isEnded) return;
    this.#reason = reason;
    this.#open();
  }

  /** Closes at once, for an endpoint that has just been seen to serve. */
  recover(): void {
    if (this.#state === 0 || this.#isEnded) return;
    this.#cancelProbe();
    this.#takeBack();
  }

  /** Ends the probes and frees every timer. Idempotent. */
  close(): void {
    this.#isEnded = true;
    this.#cancelProbe();
    this.#window.close();
  }

  #newWindow(): BreakerWindow {
    return new BreakerWindow(this.#options.clock, () => this.#open());
  }

  #open(): void {
    if (this.#state !== 0 || this.#isEnded) return;
    this.#window.close();
    this.#openings++;
    this.#probeFailures = 0;
    this.#probeSuccesses = 0;
    this.#change(1);
    this.#scheduleProbe(FIRST_PROBE_MS);
  }

  #change(state: BreakerState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#transitions++;
    this.#options.onChange?.(state, this.#reason);
  }

  #scheduleProbe(delayMs: number): void {
    const { clock } = this.#options;
    const jitter = 1 + JITTER * (2 * this.#random() - 1);
    this.#cancelProbe = clock.at(clock.now() + delayMs * jitter, () => void this.#probe());
  }

  async #probe(): Promise<void> {
    const opening = this.#openings;
    const counts = () => !this.#isEnded && this.#state !== 0 && this.#openings === opening;
    try {
      await this.#options.probe();
    } catch (error) {
      if (counts()) this.#probeFailed(error instanceof Error ? error.message : String(error));
      return;
    }
    if (counts()) this.#probeSucceeded();
  }

  #takeBack(): void {
    // A window of its own: the failures that opened the old one must not open it again.
    this.#window = this.#newWindow();
    this.#closedSinceMs = this.#options.clock.now();
    this.#change(0);
  }

  #probeSucceeded(): void {
    this.#probeFailures = 0;
    this.#probeSuccesses++;
    if (this.#probeSuccesses < PROBES_TO_CLOSE) {
      this.#change(2);
      this.#scheduleProbe(NEXT_PROBE_MS);
      return;
    }
    this.#takeBack();
  }

  #probeFailed(reason: string): void {
    this.#reason = reason;
    this.#probeSuccesses = 0;
    this.#probeFailures++;
    this.#change(1);
    this.#scheduleProbe(Math.min(LONGEST_PROBE_MS, FIRST_PROBE_MS * 2 ** this.#probeFailures));
  }
}
