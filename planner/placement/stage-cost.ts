/** What one stage costs on one class of devices. */
import type { DeviceClass, Link, Links } from "../../proto/files/devices-file.ts";
import { meanServiceMs, type ServiceTimes, type Stage } from "../fleet.ts";
import type { LevelOption, PlacementProblem } from "./problem.ts";
import { queueWaitMs } from "./waiting.ts";

export interface StageCost {
  readonly memoryBytes: number;
  /** Device seconds a request of the cascade takes here on average: reach, rows and hand-over counted. */
  readonly loadSeconds: number;
  /** Joules above the idle device a request of the cascade takes here on average. */
  readonly joules: number;
  /** A batch of the largest size: run and hand-over to the next stage. */
  readonly batchMs: number;
  readonly transferMs: number;
  readonly serviceCv: number;
}

/**
 * null: the class cannot run the stage, or one copy does not fit. A stage is charged for handing its rows over, as time of
 * its device: what a device sends is so bounded by its link too.
 */
export function stageCost(
  problem: PlacementProblem,
  rowsPerRequest: number,
  option: LevelOption,
  stageIndex: number,
  deviceClass: DeviceClass,
): StageCost | null {
  const stage = option.stages[stageIndex];
  const service = stage?.service.get(deviceClass.name);
  const memoryBytes = stage?.memoryBytes.get(deviceClass.name);
  if (stage === undefined || service === undefined || memoryBytes === undefined) return null;
  if (memoryBytes > deviceClass.memoryBytes * problem.memoryShare) return null;
  const isLast = stageIndex === option.stages.length - 1;
  const link = usualLink(problem);
  const handOverMs = (rows: number): number => (isLast ? 0 : transferMs(link, rows * stage.outputBytesPerRow));
  const { meanRows } = option;
  const batches = rowsPerRequest / meanRows;
  const runMs = meanServiceMs(service, meanRows);
  const largest = option.batch.maxBatchSize;
  return {
    memoryBytes,
    loadSeconds: (batches * (runMs + handOverMs(meanRows))) / 1000,
    joules: batches * runJoules(stage, deviceClass, service, meanRows),
    batchMs: meanServiceMs(service, largest) + handOverMs(largest),
    transferMs: handOverMs(largest),
    serviceCv: serviceCv(service, largest),
  };
}

/** Mean milliseconds a batch queues for the stage when its devices are as busy as they may be. */
export function stageWaitMs(problem: PlacementProblem, cost: StageCost, copies: number, rate: number): number {
  const servers = Math.max(copies, Math.ceil((rate * cost.loadSeconds) / problem.utilisationCap));
  return queueWaitMs({
    servers,
    utilisation: problem.utilisationCap,
    serviceMs: cost.batchMs,
    arrivalCv: problem.arrivalCv,
    serviceCv: cost.serviceCv,
  });
}

/** The slower link as soon as devices lie on several nodes: neighbours on one node are then a bonus. */
function usualLink({ devices, links }: { readonly devices: PlacementProblem["devices"]; readonly links: Links }): Link {
  const node = devices[0]?.node;
  return devices.every((device) => device.node === node) ? links.sameNode : links.betweenNodes;
}

function transferMs(link: Link, bytes: number): number {
  return link.latencyMs + bytes / link.bytesPerMs;
}

/** Measured joules of a run of `rows`, else the watts between idle and active; NaN where power is not known. */
function runJoules(stage: Stage, deviceClass: DeviceClass, service: ServiceTimes, rows: number): number {
  const measured = stage.energyJ.get(deviceClass.name);
  if (measured !== undefined) {
    return meanServiceMs({ batchSizes: service.batchSizes, samplesMs: measured.map((joules) => [joules]) }, rows);
  }
  const { watts } = deviceClass;
  if (watts === null) return Number.NaN;
  return ((watts.active - watts.idle) * meanServiceMs(service, rows)) / 1000;
}

/** Of the measured size nearest above `rows`. */
function serviceCv({ batchSizes, samplesMs }: ServiceTimes, rows: number): number {
  const at = batchSizes.findIndex((size) => size >= rows);
  const samples = samplesMs[at < 0 ? batchSizes.length - 1 : at] ?? [];
  const mean = samples.reduce((sum, sample) => sum + sample, 0) / samples.length;
  const variance = samples.reduce((sum, sample) => sum + (sample - mean) ** 2, 0) / samples.length;
  return Math.sqrt(variance) / mean;
}
