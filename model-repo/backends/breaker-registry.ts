/** The breakers of remote endpoints: all models on one endpoint share one, so that they find out together that it is down. */
import type { Clock } from "../../scheduler/clock.ts";
import { Breaker, type BreakerState } from "./breaker.ts";

/** What one model brings to the breaker that it shares. */
export interface BreakerUser {
  /** Asks the endpoint whether it would serve anybody; rejects where not. */
  readonly probe: () => Promise<void>;
  /** Told of every change of state, with the reason. */
  readonly onChange: (state: BreakerState, reason: string) => void;
}

export interface BreakerLease {
  readonly breaker: Breaker;
  /** The last one ends the breaker. Idempotent. */
  release(): void;
}

interface SharedBreaker {
  readonly breaker: Breaker;
  /** In the order of their arrival. */
  readonly users: Set<BreakerUser>;
}

/** One a repository. A breaker lives as long as a model uses it: a reload goes on with what is known. */
export class SharedBreakers {
  readonly #clock: Clock;
  readonly #shared = new Map<string, SharedBreaker>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The breaker of this endpoint; `key` is whatever tells endpoints apart. */
  lease(key: string, user: BreakerUser): BreakerLease {
    const shared = this.#shared.get(key) ?? this.#open(key);
    shared.users.add(user);
    const release = () => {
      if (!shared.users.delete(user) || shared.users.size > 0) return;
      shared.breaker.close();
      this.#shared.delete(key);
    };
    return { breaker: shared.breaker, release };
  }

  #open(key: string): SharedBreaker {
    const users = new Set<BreakerUser>();
    const breaker = new Breaker({
      clock: this.#clock,
      // The newest user's connection is the one that worked last. Users are never missing: the last one ends the probes.
      probe: async () => [...users].at(-1)?.probe(),
      onChange: (state, reason) => {
        for (const user of [...users]) user.onChange(state, reason);
      },
    });
    const shared = { breaker, users };
    this.#shared.set(key, shared);
    return shared;
  }
}
