/** A fleet and its load as the event core takes them. */

import { InferenceError } from "../../proto/errors.ts";
import type { Links } from "../../proto/files/devices-file.ts";
import { Queue } from "../../scheduler/queue.ts";
import type { Fleet, Replica, ServiceTimes, Stage } from "../fleet.ts";
import { SimulatedDevice } from "./device.ts";
import { type Entries, EntryQueue } from "./entry.ts";
import { IdleReplicas } from "./idle-replicas.ts";
import { LogHistogram } from "./measures.ts";
import { type SimulatedLevel, SimulatedReplica, type SimulatedStage } from "./replica.ts";
import { ServiceSampler } from "./service-sampler.ts";
import type { SimulatedShadows } from "./shadows.ts";
import type { Window } from "./window.ts";

/** A fleet made ready to run once. */
export interface Machinery {
  readonly entries: Entries;
  readonly levels: readonly SimulatedLevel[];
  readonly replicas: readonly SimulatedReplica[];
  readonly devices: readonly SimulatedDevice<SimulatedReplica>[];
  readonly links: Links;
}

/** What the fleet is asked. */
export interface Demand {
  /** Ascending. */
  readonly arrivalsMs: Float64Array;
  readonly rowsPerRequest: number;
  /** Way of the next row, see ways.ts. */
  readonly nextWay: () => number;
  readonly shadows: SimulatedShadows;
  /** Most requests that wait for one level; those above are refused. */
  readonly mostQueued: number;
  readonly window: Window;
}

/** Hears of every batch when it starts, for tests and traces. */
export type BatchObserver = (batch: {
  readonly level: number;
  readonly stage: number;
  readonly replica: number;
  readonly startMs: number;
  /** Rows count up over all requests; -1 stands for shadows. */
  readonly rows: readonly number[];
}) => void;

/** Batches of a stage for each replica, running or waiting (`StagePool`). */
const PLACES_PER_REPLICA = 2;

/**
 * Sets a fleet up. Replicas are free in the order of `fleet.replicas`. `entries`: of as many rows as are asked. Throws INVALID_ARGUMENT where a stage has no
 * replica, or one on a device that does not exist or whose class has no service times.
 */
export function buildMachinery(fleet: Fleet, entries: Entries, random: () => number): Machinery {
  const levels = fleet.levels.map(
    ({ batch, stages }, index): SimulatedLevel => ({
      index,
      batch,
      queue: new EntryQueue(entries),
      stages: stages.map((stage, i) => simulatedStage(stage, i)),
      waits: new LogHistogram(),
      batches: 0,
      rows: 0,
      dispatchIsDue: false,
      wakeUpMs: Number.POSITIVE_INFINITY,
      wakeUpSequence: -1,
    }),
  );
  const devices = simulatedDevices(fleet);
  const samplers = new Map<ServiceTimes, ServiceSampler>();
  const replicas = fleet.replicas.map((replica, index) => {
    const { level, stage, simulated } = placeOf(fleet, replica, levels);
    const device = devices[replica.device];
    const className = fleet.devices[replica.device]?.class ?? "";
    const times = stage.service.get(className);
    if (device === undefined) throw invalid(`replica ${index} names device ${replica.device}, which does not exist`);
    if (times === undefined) {
      throw invalid(`stage '${stage.id}' has no service times on class '${className}'; profile it there`);
    }
    const sampler = samplers.get(times) ?? new ServiceSampler(times, level.batch.maxBatchSize, random);
    samplers.set(times, sampler);
    const joules = joulesByRows(times, stage.energyJ.get(className), level.batch.maxBatchSize);
    return new SimulatedReplica(index, level, simulated, device, sampler, joules);
  });
  for (const replica of replicas) {
    replica.stage.idle.add(replica);
    replica.stage.places += PLACES_PER_REPLICA;
  }
  for (const level of levels) {
    level.stages.forEach(({ idle }, i) => {
      if (idle.size > 0) return;
      const stage = fleet.levels[level.index]?.stages[i];
      throw invalid(`stage '${stage?.id ?? i}' of level ${level.index} has no replica`);
    });
  }
  return { entries, levels, replicas, devices, links: fleet.links };
}

function simulatedStage({ outputBytesPerRow }: Stage, index: number): SimulatedStage {
  return {
    index,
    idle: new IdleReplicas<SimulatedReplica>(),
    waiting: new Queue(),
    bytesPerRow: outputBytesPerRow,
    places: 0,
    blocked: new Queue(),
  };
}

function placeOf(fleet: Fleet, { level, stage }: Replica, levels: readonly SimulatedLevel[]) {
  const simulatedLevel = levels[level];
  const simulated = simulatedLevel?.stages[stage];
  const ofFleet = fleet.levels[level]?.stages[stage];
  if (simulatedLevel === undefined || simulated === undefined || ofFleet === undefined) {
    throw invalid(`a replica names stage ${stage} of level ${level}, which does not exist`);
  }
  return { level: simulatedLevel, stage: ofFleet, simulated };
}

function simulatedDevices(fleet: Fleet): SimulatedDevice<SimulatedReplica>[] {
  const counts = new Array<number>(fleet.devices.length).fill(0);
  const metered = new Array<boolean>(fleet.devices.length).fill(true);
  for (const { level, stage, device } of fleet.replicas) {
    counts[device] = (counts[device] ?? 0) + 1;
    const energy = fleet.levels[level]?.stages[stage]?.energyJ;
    if (energy?.has(fleet.devices[device]?.class ?? "") !== true) metered[device] = false;
  }
  return fleet.devices.map(({ node }, i) => new SimulatedDevice(i, node, counts[i] ?? 0, metered[i] === true));
}

/** Joules of one batch of each size, interpolated as service times are; undefined where they were not measured. */
function joulesByRows(
  { batchSizes }: ServiceTimes,
  joules: readonly number[] | undefined,
  maxRows: number,
): Float64Array | undefined {
  if (joules === undefined) return undefined;
  const sampler = new ServiceSampler({ batchSizes, samplesMs: joules.map((value) => [value]) }, maxRows, () => 0);
  return Float64Array.from({ length: maxRows + 1 }, (_, rows) => sampler.draw(rows));
}

function invalid(text: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", text);
}
