/** The targets of one remote model: whose turn it is, which of them are healthy, and how calls end. */
import { decodeInferResponse } from "../../proto/codec/decode-response.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { InferenceResponse } from "../../proto/inference.ts";
import type { Cancellation } from "../../scheduler/cancellation.ts";
import type { Clock } from "../../scheduler/clock.ts";
import { Breaker, type BreakerState, type BreakerStatistics } from "./breaker.ts";
import type { KserveEndpoint } from "./kserve-endpoint.ts";
import { outcomeOf, toInferenceError } from "./kserve-error.ts";
import type { KserveSettings } from "./kserve-settings.ts";

export interface KserveRemoteOptions {
  /** The model's name here. */
  readonly model: string;
  readonly endpoints: readonly KserveEndpoint[];
  readonly settings: Pick<KserveSettings, "timeoutMs" | "minDeadlineMs">;
  readonly clock: Clock;
  /** Told when a target is left out or taken back, with the reason. */
  readonly onChange: (target: string, state: BreakerState, reason: string) => void;
}

/** How long a probe, or a check at load, may take. */
export const PROBE_TIMEOUT_MS = 5_000;

interface Target {
  readonly endpoint: KserveEndpoint;
  readonly breaker: Breaker;
}

export class KserveRemote {
  readonly #options: KserveRemoteOptions;
  readonly #targets: readonly Target[];
  #next = 0;

  constructor(options: KserveRemoteOptions) {
    this.#options = options;
    const { model, clock, onChange } = options;
    this.#targets = options.endpoints.map((endpoint) => ({
      endpoint,
      breaker: new Breaker({
        endpoint: endpoint.target,
        model,
        clock,
        probe: () => endpoint.checkReady(PROBE_TIMEOUT_MS),
        onChange: (state, reason) => onChange(endpoint.target, state, reason),
      }),
    }));
  }

  /** One a target, in the order of the configuration. */
  get breakers(): readonly BreakerStatistics[] {
    return this.#targets.map(({ breaker }) => breaker.statistics);
  }

  /** Leaves a target out until its probes succeed. */
  trip(target: string, reason: string): void {
    this.#targets.find(({ endpoint }) => endpoint.target === target)?.breaker.trip(reason);
  }

  /**
   * Sends one message to the next healthy target and hands its answer to `read`, whose errors count as the target's.
   * Rejects with the cancellation's reason, DEADLINE_EXCEEDED before sending where no time is left, UNAVAILABLE where no
   * target is healthy, else the remote's code and text.
   */
  async infer<Answer>(
    message: Buffer,
    cancellation: Cancellation | undefined,
    read: (response: InferenceResponse) => Answer,
  ): Promise<Answer> {
    const { model, settings, clock } = this.#options;
    const gaveUp = () => cancellation?.reason;
    const before = gaveUp();
    if (before !== undefined) throw before;
    const startedMs = clock.now();
    const timeoutMs = Math.min(settings.timeoutMs, (cancellation?.deadlineMs ?? Number.POSITIVE_INFINITY) - startedMs);
    if (timeoutMs <= 0) throw new InferenceError("DEADLINE_EXCEEDED", "Deadline exceeded");
    const { endpoint, breaker } = this.#pick();
    try {
      const answer = read(decodeInferResponse(await endpoint.infer(message, timeoutMs, cancellation)));
      breaker.record("success");
      return answer;
    } catch (error) {
      const givenMs = clock.now() - startedMs;
      const failure = toInferenceError(model, endpoint.target, error);
      const reason = gaveUp();
      if (reason !== undefined) {
        // Given up from here; where the deadline was the reason, the remote did not answer in the time it had.
        const isSilent = reason.code === "DEADLINE_EXCEEDED" && givenMs >= settings.minDeadlineMs;
        breaker.record(isSilent ? "failure" : "neutral", reason.message);
        throw reason;
      }
      breaker.record(outcomeOf(error, givenMs, settings.minDeadlineMs), failure.message);
      throw failure;
    }
  }

  /** Ends probes and connections; calls in flight fail. Idempotent. */
  close(): void {
    for (const { endpoint, breaker } of this.#targets) {
      breaker.close();
      endpoint.close();
    }
  }

  /** Round robin over the targets whose breaker lets calls go. */
  #pick(): Target {
    const count = this.#targets.length;
    for (let i = 0; i < count; i++) {
      const target = this.#targets[(this.#next + i) % count];
      if (target?.breaker.admits !== true) continue;
      this.#next = (this.#next + i + 1) % count;
      return target;
    }
    for (const { breaker } of this.#targets) breaker.refuse();
    const states = this.#targets.map(({ endpoint, breaker }) => `'${endpoint.target}' (${breaker.reason})`).join(", ");
    throw new InferenceError(
      "UNAVAILABLE",
      `model '${this.#options.model}' is not asked while its remote does not answer: ${states}. It is tried again every ` +
        "few seconds; check that server",
    );
  }
}
