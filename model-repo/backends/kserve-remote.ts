/** The targets of one remote model: whose turn it is, and how calls end. */
import { decodeInferResponse } from "../../proto/codec/decode-response.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { InferenceResponse } from "../../proto/inference.ts";
import type { Cancellation } from "../../scheduler/cancellation.ts";
import type { Clock } from "../../scheduler/clock.ts";
import type { BreakerStatistics } from "./breaker.ts";
import type { SharedBreakers } from "./breaker-registry.ts";
import { isUnanswered, outcomeOf, toInferenceError } from "./kserve-error.ts";
import { Readiness } from "./kserve-readiness.ts";
import type { KserveSettings } from "./kserve-settings.ts";
import { KserveTarget, type KserveTargetOptions } from "./kserve-target.ts";

/** A target is left out or taken back; `isReady`: whether the model still is. Or the model is ready again. */
export type RemoteChange =
  | { readonly kind: "left out"; readonly target: string; readonly reason: string; readonly isReady: boolean }
  | { readonly kind: "taken back"; readonly target: string }
  | { readonly kind: "ready again" };

export interface KserveRemoteOptions {
  /** The model's name here. */
  readonly model: string;
  readonly endpoints: readonly KserveTargetOptions["endpoint"][];
  readonly settings: Pick<KserveSettings, "timeoutMs" | "minDeadlineMs">;
  readonly breakers: SharedBreakers;
  /** As `RemoteCredentials.connection`. */
  readonly connection: string;
  readonly clock: Clock;
  readonly onChange: (change: RemoteChange) => void;
}

export class KserveRemote {
  readonly #options: KserveRemoteOptions;
  readonly #targets: readonly KserveTarget[];
  readonly #readiness: Readiness;
  #next = 0;

  constructor(options: KserveRemoteOptions) {
    this.#options = options;
    const { model, breakers, connection, clock } = options;
    this.#readiness = new Readiness(clock, () => options.onChange({ kind: "ready again" }));
    const onChange = (target: KserveTarget) => this.#changed(target);
    const shared = { model, breakers, connection, clock, onChange };
    this.#targets = options.endpoints.map((endpoint) => new KserveTarget({ ...shared, endpoint }));
  }

  /** One a target, in the order of the configuration. */
  get breakers(): readonly BreakerStatistics[] {
    return this.#targets.map(({ statistics }) => statistics);
  }

  /** Whether the model would answer; changes less often than the breakers. */
  get isReady(): boolean {
    return this.#readiness.isReady;
  }

  /** Takes over what a check at load found: `failures` by target, the others have answered. */
  begin(failures: ReadonlyMap<string, string>): void {
    for (const target of this.#targets) {
      const failure = failures.get(target.endpoint.target);
      if (failure === undefined) target.recover();
      else target.trip(failure);
    }
  }

  /**
   * Sends one message to the next healthy target and hands its answer to `read`, whose errors count as the target's.
   * Rejects with the cancellation's reason, DEADLINE_EXCEEDED before sending where no time is left, UNAVAILABLE where no
   * target takes the call, else the remote's code and text.
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
    const target = this.#pick();
    const { endpoint } = target;
    try {
      const answer = read(decodeInferResponse(await endpoint.infer(message, timeoutMs, cancellation)));
      target.record({ startedMs, outcome: "success", reason: "", isUnanswered: false });
      return answer;
    } catch (error) {
      const givenMs = clock.now() - startedMs;
      const failure = toInferenceError(model, endpoint.target, error);
      const reason = gaveUp();
      if (reason !== undefined) {
        // Given up from here; where the deadline was the reason, the remote did not answer in the time it had.
        const isSilent = reason.code === "DEADLINE_EXCEEDED" && givenMs >= settings.minDeadlineMs;
        target.record({
          startedMs,
          outcome: isSilent ? "failure" : "neutral",
          reason: reason.message,
          isUnanswered: true,
        });
        throw reason;
      }
      const outcome = outcomeOf(error, givenMs, settings.minDeadlineMs);
      target.record({ startedMs, outcome, reason: failure.message, isUnanswered: isUnanswered(error) });
      throw failure;
    }
  }

  /** Ends probes and connections; calls in flight fail. Idempotent. */
  close(): void {
    this.#readiness.close();
    for (const target of this.#targets) target.close();
  }

  /** Round robin over the targets that take the call. */
  #pick(): KserveTarget {
    const count = this.#targets.length;
    for (let i = 0; i < count; i++) {
      const target = this.#targets[(this.#next + i) % count];
      if (target?.admits() !== true) continue;
      this.#next = (this.#next + i + 1) % count;
      return target;
    }
    for (const target of this.#targets) target.refuse();
    throw this.#refusal();
  }

  #refusal(): InferenceError {
    const { model } = this.#options;
    const isComingBack = this.#targets.some(({ state }) => state === 0);
    const states = this.#targets.map((target) => {
      const { endpoint, state, share, reason } = target;
      const what = state === 0 ? `takes ${Math.round(share * 100)} % of the calls for now` : reason;
      return `'${endpoint.target}' (${what})`;
    });
    const text = isComingBack
      ? `model '${model}' is asked for only a part of its requests while its remote comes back: ${states.join(", ")}. Try ` +
        "again in a few seconds"
      : `model '${model}' is not asked while its remote does not answer: ${states.join(", ")}. It is tried again every ` +
        "few seconds; check that server";
    return new InferenceError("UNAVAILABLE", text);
  }

  #changed(changed: KserveTarget): void {
    this.#readiness.update(this.#targets.map(({ closedSinceMs }) => closedSinceMs));
    const { target } = changed.endpoint;
    const { isReady } = this.#readiness;
    if (changed.state === 0) this.#options.onChange({ kind: "taken back", target });
    else this.#options.onChange({ kind: "left out", target, reason: changed.reason, isReady });
  }
}
