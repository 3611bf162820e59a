/**
 * The event core: requests arrive, wait, run in batches on replicas and go on to their next level, by the server's own
 * decisions (`decide`, `route` behind the ways, `BatchedModel`'s choice of an instance and its looks at the queue at the
 * end of a turn). test/planner/simulate/ holds it against the server's scheduler on a virtual clock.
 */
import { decide } from "../../scheduler/batcher.ts";
import type { SimulatedDevice } from "./device.ts";
import { type Batch, type Entries, NONE } from "./entry.ts";
import { EventHeap } from "./event-heap.ts";
import type { BatchObserver, Demand, Machinery } from "./machinery.ts";
import { Population } from "./population.ts";
import type { SimulatedLevel, SimulatedReplica, SimulatedStage } from "./replica.ts";
import { Rows } from "./rows.ts";

/** Kinds of events, the low bits of a payload; the rest is the index of what they are about. */
const KIND_BITS = 2;
const DONE = 0;
const ARRIVED = 1;
const DEVICE = 2;
const WAKE_UP = 3;

export class Engine {
  readonly #machinery: Machinery;
  readonly #demand: Demand;
  readonly #observer: BatchObserver | undefined;
  readonly #events = new EventHeap();
  #nowMs = 0;
  /** Levels to look at when this turn is over, with their places in the order of events. */
  readonly #due: { readonly level: SimulatedLevel; readonly sequence: number }[] = [];
  readonly #entries: Entries;
  readonly #rows: Rows;
  readonly #population: Population;
  /** When each request was answered; NaN: refused, or not yet. */
  readonly finishedMs: Float64Array;
  #refusedRequests = 0;
  /** At the last arrival: requests in the system, itself included, and requests that were refused. */
  underWay = 0;
  refusedAtLastArrival = 0;

  constructor(machinery: Machinery, demand: Demand, observer?: BatchObserver) {
    this.#machinery = machinery;
    this.#demand = demand;
    this.#observer = observer;
    this.#population = new Population(demand.window);
    const requests = demand.arrivalsMs.length;
    const mostRows = machinery.levels.map((level) => level.batch.maxBatchSize);
    this.#entries = machinery.entries;
    this.#rows = new Rows(machinery.entries, requests, demand.rowsPerRequest, mostRows, demand.nextWay);
    this.finishedMs = new Float64Array(requests).fill(Number.NaN);
  }

  /** Rows answered by each level, over all time. */
  get answeredRows(): Float64Array {
    return this.#rows.answered;
  }

  /** Mean number of requests in the system over the window. */
  get meanInSystem(): number {
    return this.#population.mean;
  }

  /** Plays all arrivals, and on until the last request is answered. */
  run(): void {
    const events = this.#events;
    const due = this.#due;
    const { arrivalsMs } = this.#demand;
    const requests = arrivalsMs.length;
    for (let arrived = 0; ; ) {
      const eventMs = events.topMs;
      const arrivalMs = arrived < requests ? (arrivalsMs[arrived] ?? 0) : Number.POSITIVE_INFINITY;
      const first = due[0];
      // Arrivals were registered before everything else, so that they come first among equals.
      if (arrivalMs <= eventMs && (first === undefined || arrivalMs <= this.#nowMs)) {
        if (arrived === requests) break;
        this.#nowMs = arrivalMs;
        this.#arrive(arrived++);
      } else if (first !== undefined && (eventMs > this.#nowMs || events.topSequence > first.sequence)) {
        due.shift();
        first.level.dispatchIsDue = false;
        this.#dispatch(first.level);
      } else {
        this.#nowMs = eventMs;
        const sequence = events.topSequence;
        this.#handle(events.pop(), sequence);
      }
    }
  }

  #handle(payload: number, sequence: number): void {
    const { replicas, devices, levels } = this.#machinery;
    const index = payload >> KIND_BITS;
    switch (payload & ((1 << KIND_BITS) - 1)) {
      case DONE: {
        const replica = replicas[index];
        if (replica !== undefined) this.#end(replica);
        return;
      }
      case ARRIVED: {
        const replica = replicas[index];
        if (replica?.batch !== undefined) this.#compute(replica, replica.batch);
        return;
      }
      case DEVICE: {
        const device = devices[index];
        if (device === undefined || device.eventSequence !== sequence) return;
        const replica = device.end(this.#nowMs, this.#demand.window);
        if (device.isBusy) this.#watch(device);
        if (replica !== undefined) this.#end(replica);
        return;
      }
      case WAKE_UP: {
        const level = levels[index];
        if (level === undefined || level.wakeUpSequence !== sequence) return;
        level.wakeUpMs = Number.POSITIVE_INFINITY;
        this.#dispatch(level);
        return;
      }
    }
  }

  #arrive(request: number): void {
    this.#population.change(1, this.#nowMs);
    this.#rows.enter(request);
    this.#sendGroups(0);
    if (request < this.#demand.arrivalsMs.length - 1) return;
    this.underWay = this.#population.count;
    this.refusedAtLastArrival = this.#refusedRequests;
  }

  #sendGroups(fromLevel: number): void {
    const { levels } = this.#machinery;
    for (let k = fromLevel; k < levels.length; k++) {
      const level = levels[k];
      let entry = this.#rows.takeGroup(k);
      while (entry !== NONE && level !== undefined) {
        const next = this.#entries.next[entry] ?? NONE;
        this.#entries.next[entry] = NONE;
        this.#enqueue(level, entry);
        entry = next;
      }
    }
  }

  #enqueue(level: SimulatedLevel, entry: number): void {
    if (level.queue.size >= this.#demand.mostQueued && !this.#entries.isShadow(entry)) {
      this.#refuse(this.#rows.requestOf(entry));
      return;
    }
    this.#entries.enqueuedMs[entry] = this.#nowMs;
    level.queue.push(entry);
    // As the server does: all that arrives in one turn is queued before the first batch is cut.
    if (level.dispatchIsDue || level.stages[0]?.idle.size === 0) return;
    level.dispatchIsDue = true;
    this.#due.push({ level, sequence: this.#events.takeSequence() });
  }

  /** Sends batches while there are free replicas and the policy says so. */
  #dispatch(level: SimulatedLevel): void {
    const { queue, batch: policy } = level;
    const stage = level.stages[0];
    if (stage === undefined) return;
    while (queue.size > 0 && stage.idle.size > 0) {
      const decision = decide(queue, policy, this.#nowMs);
      if (decision.kind === "wait") this.#wakeUp(level, decision.untilMs);
      if (decision.kind !== "dispatch") return;
      const replica = stage.idle.take();
      if (replica === undefined) return;
      this.#start(replica, this.#cut(level, decision.count));
    }
  }

  #wakeUp(level: SimulatedLevel, timeMs: number): void {
    if (timeMs >= level.wakeUpMs) return;
    level.wakeUpMs = timeMs;
    level.wakeUpSequence = this.#events.push(timeMs, (level.index << KIND_BITS) | WAKE_UP);
  }

  #cut(level: SimulatedLevel, count: number): Batch {
    const entries = level.queue.take(count);
    const isMeasured = this.#demand.window.holds(this.#nowMs);
    let rows = 0;
    const { sizes, enqueuedMs, next } = this.#entries;
    for (let entry = entries; entry !== NONE; entry = next[entry] ?? NONE) {
      rows += sizes[entry] ?? 0;
      if (isMeasured && !this.#entries.isShadow(entry)) level.waits.add(this.#nowMs - (enqueuedMs[entry] ?? 0));
    }
    if (isMeasured) {
      level.batches++;
      level.rows += rows;
    }
    return { entries, rows, node: undefined };
  }

  /** A replica takes a batch: first its tensors travel, then it runs. */
  #start(replica: SimulatedReplica, batch: Batch): void {
    replica.batch = batch;
    replica.takenMs = this.#nowMs;
    if (this.#observer !== undefined) this.#observe(replica, batch);
    const { node } = batch;
    if (node === undefined) {
      this.#compute(replica, batch);
      return;
    }
    const { sameNode, betweenNodes } = this.#machinery.links;
    const link = node === replica.device.node ? sameNode : betweenNodes;
    const bytes = batch.rows * (replica.level.stages[replica.stage.index - 1]?.bytesPerRow ?? 0);
    const transferMs = link.latencyMs + bytes / link.bytesPerMs;
    this.#events.push(this.#nowMs + transferMs, (replica.index << KIND_BITS) | ARRIVED);
  }

  #compute(replica: SimulatedReplica, batch: Batch): void {
    const nowMs = this.#nowMs;
    const { device } = replica;
    const serviceMs = replica.sampler.draw(batch.rows);
    replica.startedMs = nowMs;
    if (!device.isShared) {
      this.#events.push(nowMs + serviceMs, (replica.index << KIND_BITS) | DONE);
      return;
    }
    device.start(replica, serviceMs, nowMs);
    this.#watch(device);
  }

  #watch(device: SimulatedDevice<SimulatedReplica>): void {
    device.eventSequence = this.#events.push(device.nextEndMs(), (device.index << KIND_BITS) | DEVICE);
  }

  /** A batch has run on a replica: the replica takes the next one, the batch goes on. */
  #end(replica: SimulatedReplica): void {
    const { batch, level, stage, device, startedMs } = replica;
    if (batch === undefined) return;
    const nowMs = this.#nowMs;
    const measuredMs = this.#demand.window.overlapMs(startedMs, nowMs);
    replica.measuredBusyMs += measuredMs;
    if (!device.isShared) device.busyMs += measuredMs;
    if (replica.joules !== undefined && measuredMs > 0) {
      device.joules += ((replica.joules[batch.rows] ?? 0) * measuredMs) / (nowMs - startedMs);
    }
    replica.busyMs += nowMs - replica.takenMs;
    const next = level.stages[stage.index + 1];
    if (next === undefined) {
      this.#release(replica);
      this.#answer(level, batch);
    } else if (next.places > 0) {
      this.#goOn(replica, batch, next);
    } else {
      next.blocked.push(replica);
    }
  }

  /** The batch has room in its next stage, and leaves its replica. */
  #goOn(replica: SimulatedReplica, batch: Batch, next: SimulatedStage): void {
    next.places--;
    batch.node = replica.device.node;
    next.waiting.push(batch);
    this.#release(replica);
    this.#handOn(next);
  }

  /** The replica takes its next batch, and a batch that was held up for want of room comes after. */
  #release(replica: SimulatedReplica): void {
    const { level, stage } = replica;
    replica.batch = undefined;
    stage.idle.add(replica);
    if (stage.index === 0) {
      this.#dispatch(level);
      return;
    }
    this.#handOn(stage);
    stage.places++;
    const blocked = stage.blocked.shift();
    if (blocked?.batch !== undefined) this.#goOn(blocked, blocked.batch, stage);
  }

  /** Replicas of a later stage take whole batches in their order. */
  #handOn(stage: SimulatedStage): void {
    while (stage.waiting.size > 0) {
      const replica = stage.idle.take();
      if (replica === undefined) return;
      const batch = stage.waiting.shift();
      if (batch !== undefined) this.#start(replica, batch);
    }
  }

  /**
   * Rows whose level accepts them are answered, the others go on. In the server's order: shadows end and make room for
   * others first, then rows go on, then answered requests offer theirs.
   */
  #answer(level: SimulatedLevel, batch: Batch): void {
    const { shadows } = this.#demand;
    const rows = this.#rows;
    if (!shadows.areOff) this.#endShadows(batch);
    let hasAnswered = false;
    for (let entry = batch.entries, next = NONE; entry !== NONE; entry = next) {
      // Rows that go on make entries of the same names.
      next = this.#entries.next[entry] ?? NONE;
      if (this.#entries.isShadow(entry)) {
        this.#entries.freeShadow(entry);
        continue;
      }
      const request = rows.requestOf(entry);
      if (rows.isRefused(request)) continue;
      const isComplete = rows.goOn(entry, level.index);
      this.#sendGroups(level.index + 1);
      if (!isComplete) continue;
      hasAnswered = true;
      this.finishedMs[request] = this.#nowMs;
      this.#population.change(-1, this.#nowMs);
      shadows.offer(rows, request);
    }
    if (hasAnswered && !shadows.areOff) this.#sendShadows();
  }

  #endShadows(batch: Batch): void {
    const { sizes, next } = this.#entries;
    for (let entry = batch.entries; entry !== NONE; entry = next[entry] ?? NONE) {
      if (!this.#entries.isShadow(entry)) continue;
      this.#demand.shadows.answered(sizes[entry] ?? 0);
      this.#sendShadows();
    }
  }

  #sendShadows(): void {
    const last = this.#machinery.levels.at(-1);
    if (last === undefined) return;
    for (;;) {
      const rows = this.#demand.shadows.next(last.queue.size);
      if (rows === 0) return;
      this.#enqueue(last, this.#entries.takeShadow(rows));
    }
  }

  #refuse(request: number): void {
    if (!this.#rows.refuse(request)) return;
    this.#refusedRequests++;
    this.#population.change(-1, this.#nowMs);
  }

  #observe(replica: SimulatedReplica, batch: Batch): void {
    const rows: number[] = [];
    for (let entry = batch.entries; entry !== NONE; entry = this.#entries.next[entry] ?? NONE) {
      rows.push(...this.#rows.of(entry));
    }
    const { level, stage, index } = replica;
    this.#observer?.({ level: level.index, stage: stage.index, replica: index, startMs: this.#nowMs, rows });
  }
}
