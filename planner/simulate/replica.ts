/** Stages and their replicas as the simulator runs them. */
import type { BatchPolicy } from "../../scheduler/batcher.ts";
import type { Queue } from "../../scheduler/queue.ts";
import type { SimulatedDevice } from "./device.ts";
import type { Batch, EntryQueue } from "./entry.ts";
import type { IdleReplicas } from "./idle-replicas.ts";
import type { LogHistogram } from "./measures.ts";
import type { ServiceSampler } from "./service-sampler.ts";

/** A copy of a stage. Runs one batch at a time. */
export class SimulatedReplica {
  readonly index: number;
  readonly level: SimulatedLevel;
  readonly stage: SimulatedStage;
  readonly device: SimulatedDevice<SimulatedReplica>;
  readonly sampler: ServiceSampler;
  /** Joules of a batch by rows; undefined: not measured. */
  readonly joules: Float64Array | undefined;
  /** Time it was taken by batches, as the server counts it to choose the next. */
  busyMs = 0;
  idleOrder = 0;
  /** Time within the window in which its batches ran. */
  measuredBusyMs = 0;
  batch: Batch | undefined;
  /** When it took its batch, and when the batch's tensors had come. */
  takenMs = 0;
  startedMs = 0;
  /** On a shared device: how much work each batch there has got when this one is done. */
  doneAtWorkMs = 0;

  constructor(
    index: number,
    level: SimulatedLevel,
    stage: SimulatedStage,
    device: SimulatedDevice<SimulatedReplica>,
    sampler: ServiceSampler,
    joules: Float64Array | undefined,
  ) {
    this.index = index;
    this.level = level;
    this.stage = stage;
    this.device = device;
    this.sampler = sampler;
    this.joules = joules;
  }
}

export interface SimulatedStage {
  readonly index: number;
  readonly idle: IdleReplicas<SimulatedReplica>;
  /** Batches that wait for a replica; unused at the first stage, which takes from the level's queue. */
  readonly waiting: Queue<Batch>;
  readonly bytesPerRow: number;
  /**
   * Room for more batches, as in the server's `StagePool`: each replica runs one and one more may wait for it. A batch
   * without room keeps its replica of the stage before; those replicas wait in turn.
   */
  places: number;
  readonly blocked: Queue<SimulatedReplica>;
}

export interface SimulatedLevel {
  readonly index: number;
  readonly batch: BatchPolicy;
  readonly queue: EntryQueue;
  readonly stages: readonly SimulatedStage[];
  /** Waits of requests to this level, within the window. */
  readonly waits: LogHistogram;
  batches: number;
  rows: number;
  /** A look at the queue at the end of this turn is due. */
  dispatchIsDue: boolean;
  /** Earliest time at which the queue is looked at again, and its event; Infinity: never. */
  wakeUpMs: number;
  wakeUpSequence: number;
}
