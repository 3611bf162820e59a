/** A device and the batches that run on it. Replicas of one device share it: each of n running batches goes n times slower. */
import type { Window } from "./window.ts";

/** What the device knows of a replica. */
interface Sharer {
  /** How much work each running batch has got when this one's is done. */
  doneAtWorkMs: number;
}

export class SimulatedDevice<Replica extends Sharer> {
  readonly index: number;
  readonly node: string;
  /** More than one replica lives here. */
  readonly isShared: boolean;
  /** Time within the window in which anything ran. */
  busyMs = 0;
  /** Measured energy of the batches within the window, above the idle device's. */
  joules = 0;
  /** Whether every replica's energy was measured, so that `joules` is all of it. */
  readonly isMetered: boolean;
  /** The event that tells of the next batch to end; older ones are void. */
  eventSequence = -1;
  readonly #running: Replica[] = [];
  /** Work that each batch present since the start would have got: processor sharing's virtual time. */
  #workMs = 0;
  #changedMs = 0;
  #busySinceMs = 0;

  constructor(index: number, node: string, replicas: number, isMetered: boolean) {
    this.index = index;
    this.node = node;
    this.isShared = replicas > 1;
    this.isMetered = isMetered;
  }

  get isBusy(): boolean {
    return this.#running.length > 0;
  }

  /** Starts a batch that would take `serviceMs` alone. */
  start(replica: Replica, serviceMs: number, nowMs: number): void {
    this.#advance(nowMs);
    if (this.#running.length === 0) this.#busySinceMs = nowMs;
    replica.doneAtWorkMs = this.#workMs + serviceMs;
    this.#running.push(replica);
  }

  /** When the next batch ends if nothing else happens. There must be one. */
  nextEndMs(): number {
    const next = this.#next();
    return this.#changedMs + Math.max(0, (next?.doneAtWorkMs ?? 0) - this.#workMs) * this.#running.length;
  }

  /** Takes out the replica whose batch ends now. */
  end(nowMs: number, window: Window): Replica | undefined {
    const replica = this.#next();
    if (replica === undefined) return undefined;
    this.#advance(nowMs);
    this.#running.splice(this.#running.indexOf(replica), 1);
    if (this.#running.length === 0) this.busyMs += window.overlapMs(this.#busySinceMs, nowMs);
    return replica;
  }

  #advance(nowMs: number): void {
    const sharing = this.#running.length;
    if (sharing > 0) this.#workMs += (nowMs - this.#changedMs) / sharing;
    this.#changedMs = nowMs;
  }

  /** The batch with the least work left; of equals the one that started first. */
  #next(): Replica | undefined {
    let next: Replica | undefined;
    for (const replica of this.#running) {
      if (next === undefined || replica.doneAtWorkMs < next.doneAtWorkMs) next = replica;
    }
    return next;
  }
}
