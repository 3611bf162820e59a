/** Small fleets for tests of the simulator. */

import { seededRandom } from "../../../planner/cascade/random.ts";
import type { Fleet, Level, ServiceTimes, Stage } from "../../../planner/fleet.ts";
import type { SimulatedWorkload } from "../../../planner/simulate/simulation.ts";
import type { DeviceWatts } from "../../../proto/files/devices-file.ts";
import type { BatchPolicy } from "../../../scheduler/batcher.ts";

export const CLASS = "c";

export function policy(maxBatchSize: number, overrides: Partial<BatchPolicy> = {}): BatchPolicy {
  return { maxBatchSize, preferredBatchSizes: [], maxQueueDelayMs: 0, preserveOrdering: false, ...overrides };
}

/** A stage that takes the same time for every batch size, or as the table says. */
export function stage(id: string, service: number | ServiceTimes, overrides: Partial<Stage> = {}): Stage {
  const times = typeof service === "number" ? { batchSizes: [1], samplesMs: [[service]] } : service;
  return {
    id,
    memoryBytes: new Map([[CLASS, 1]]),
    service: new Map([[CLASS, times]]),
    energyJ: new Map(),
    outputBytesPerRow: 0,
    ...overrides,
  };
}

/** Service times that do not grow with the batch. */
export function flat(ms: number, maxRows: number): ServiceTimes {
  return { batchSizes: [1, maxRows], samplesMs: [[ms], [ms]] };
}

/** Quantiles of an exponential distribution: as service times, M/M/c. */
export function exponential(meanMs: number): ServiceTimes {
  const count = 4096;
  const samples = Array.from({ length: count }, (_, i) => -meanMs * Math.log(1 - (i + 0.5) / count));
  return { batchSizes: [1], samplesMs: [samples] };
}

export function level(model: string, stages: readonly Stage[], batch: BatchPolicy = policy(1)): Level {
  return { model, stages, batch };
}

export interface FleetOptions {
  readonly levels: readonly Level[];
  /** [level, stage, device] */
  readonly replicas: readonly (readonly [number, number, number])[];
  readonly devices?: number;
  readonly watts?: DeviceWatts | null;
  readonly transferMs?: number;
}

export function fleet({ levels, replicas, devices, watts = null, transferMs = 0 }: FleetOptions): Fleet {
  const count = devices ?? Math.max(...replicas.map(([, , device]) => device)) + 1;
  const link = { bytesPerMs: 1, latencyMs: transferMs };
  return {
    classes: [{ name: CLASS, kind: "cpu", memoryBytes: 1e9, watts }],
    devices: Array.from({ length: count }, (_, i) => ({
      id: `d${i}`,
      class: CLASS,
      node: "n",
      failureGroup: "n",
      cpus: "",
      ordinal: -1,
    })),
    links: { sameNode: link, betweenNodes: link },
    levels,
    replicas: replicas.map(([k, s, device]) => ({ level: k, stage: s, device, share: 1 })),
  };
}

/** Poisson arrivals of single rows that one level answers. */
export function workload(ratePerSecond: number, overrides: Partial<SimulatedWorkload> = {}): SimulatedWorkload {
  return {
    ratePerSecond,
    arrivals: { process: "poisson" },
    rowsPerRequest: 1,
    sloMs: 1000,
    routing: { kind: "paths", paths: [[1]] },
    shadowShare: 0,
    ...overrides,
  };
}

/** Ascending times with random gaps; `gridMs`: on multiples of it, so that events fall together. */
export function randomTimes(count: number, meanGapMs: number, seed: number, gridMs = 0): number[] {
  const random = seededRandom(seed);
  let nowMs = 0;
  return Array.from({ length: count }, () => {
    nowMs += -meanGapMs * Math.log(1 - random());
    return gridMs === 0 ? nowMs : Math.round(nowMs / gridMs) * gridMs;
  });
}
