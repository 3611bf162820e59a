/**
 * One target of a remote model: two breakers, of the endpoint, which all models on it share, and of the model there
 * (reliability.md 4). A server that is down is found out by all together; a model that fails leaves the others alone.
 */
import { InferenceError } from "../../proto/errors.ts";
import type { Clock } from "../../scheduler/clock.ts";
import { Breaker, type BreakerState, type BreakerStatistics, type CallOutcome } from "./breaker.ts";
import { ShareCounter } from "./breaker-ramp.ts";
import type { BreakerLease, SharedBreakers } from "./breaker-registry.ts";
import type { KserveEndpoint } from "./kserve-endpoint.ts";
import { isUnanswered } from "./kserve-error.ts";

/** How long a probe, or a check at load, may take. */
export const PROBE_TIMEOUT_MS = 5_000;

export interface KserveTargetOptions {
  /** The model's name here. */
  readonly model: string;
  readonly endpoint: Pick<KserveEndpoint, "target" | "infer" | "checkServerReady" | "checkModelReady" | "close">;
  readonly breakers: SharedBreakers;
  /** How the endpoint is reached, as `RemoteCredentials.connection`; models that reach it alike share its breaker. */
  readonly connection: string;
  readonly clock: Clock;
  /** Told when the target is left out or taken back. */
  readonly onChange: (target: KserveTarget) => void;
}

/** How a call ended. */
export interface CallEnd {
  readonly startedMs: number;
  readonly outcome: CallOutcome;
  /** Why it failed; "" where it did not. */
  readonly reason: string;
  /** Nothing came back, which says more about the endpoint than about the model. */
  readonly isUnanswered: boolean;
}

export class KserveTarget {
  readonly endpoint: KserveTargetOptions["endpoint"];
  readonly #options: KserveTargetOptions;
  readonly #shared: BreakerLease;
  readonly #own: Breaker;
  readonly #ramp = new ShareCounter();
  readonly #calls = { success: 0, failure: 0, neutral: 0, refused: 0 };
  #isLeftOut = false;

  constructor(options: KserveTargetOptions) {
    const { endpoint, breakers, connection, clock } = options;
    this.endpoint = endpoint;
    this.#options = options;
    const onChange = () => this.#changed();
    this.#own = new Breaker({ clock, probe: () => this.#probe(), onChange });
    this.#shared = breakers.lease(`${connection} ${endpoint.target}`, {
      probe: () => endpoint.checkServerReady(PROBE_TIMEOUT_MS),
      onChange,
    });
  }

  get statistics(): BreakerStatistics {
    const { model, endpoint } = this.#options;
    const transitions = this.#shared.breaker.transitions + this.#own.transitions;
    return { endpoint: endpoint.target, model, state: this.state, transitions, calls: { ...this.#calls } };
  }

  /** 1 where a breaker is open, 2 where one is and its last probe succeeded, 0 where calls may go. */
  get state(): BreakerState {
    const states = [this.#shared.breaker.state, this.#own.state];
    return states.find((state) => state === 1) ?? states.find((state) => state === 2) ?? 0;
  }

  /** Since when calls may go; -Infinity: from the start; undefined: they may not. */
  get closedSinceMs(): number | undefined {
    const [shared, own] = [this.#shared.breaker.closedSinceMs, this.#own.closedSinceMs];
    return shared === undefined || own === undefined ? undefined : Math.max(shared, own);
  }

  /** Share of the calls that may go now. */
  get share(): number {
    return Math.min(this.#shared.breaker.share, this.#own.share);
  }

  /** Why it is left out: the last failure of a call or a probe. */
  get reason(): string {
    return this.#shared.breaker.state === 0 ? this.#own.reason : this.#shared.breaker.reason;
  }

  /** Whether the next call may go there; counts it. */
  admits(): boolean {
    const { share } = this;
    return share > 0 && this.#ramp.admits(share);
  }

  /** Counts a call that was kept away. */
  refuse(): void {
    this.#calls.refused++;
  }

  record({ startedMs, outcome, reason, isUnanswered }: CallEnd): void {
    this.#calls[outcome]++;
    this.#own.record(outcome, reason, startedMs);
    // An answer that is an error shows that somebody is there.
    const shared = outcome === "failure" && !isUnanswered ? "neutral" : outcome;
    this.#shared.breaker.record(shared, reason, startedMs);
  }

  /** Leaves this target out for this model until its probes succeed: others may see it in another way. */
  trip(reason: string): void {
    this.#own.trip(reason);
  }

  /** The endpoint has just answered: what others saw of it before is past. */
  recover(): void {
    this.#shared.breaker.recover();
  }

  /** Ends probes and connections; calls in flight fail. Idempotent. */
  close(): void {
    this.#own.close();
    this.#shared.release();
    this.endpoint.close();
  }

  /**
   * Of the model. A server that is not reached then is down for all: a model that is left out sends no more calls from
   * which the others could learn it.
   */
  async #probe(): Promise<void> {
    try {
      await this.endpoint.checkServerReady(PROBE_TIMEOUT_MS);
    } catch (error) {
      if (isUnanswered(error)) this.#shared.breaker.trip(InferenceError.from(error).message);
      throw error;
    }
    await this.endpoint.checkModelReady(PROBE_TIMEOUT_MS);
  }

  #changed(): void {
    const isLeftOut = this.state !== 0;
    if (isLeftOut === this.#isLeftOut) return;
    this.#isLeftOut = isLeftOut;
    this.#options.onChange(this);
  }
}
