/** A placement as optimisers write it and the simulator reads it: levels cut into stages, stages copied onto devices. */
import type { Device, DeviceClass, Links } from "../proto/files/devices-file.ts";
import type { BatchPolicy } from "../scheduler/batcher.ts";

/** Service times of one stage on one class of devices. */
export interface ServiceTimes {
  /** Ascending; a batch between two sizes takes the time interpolated between them. */
  readonly batchSizes: readonly number[];
  /** samplesMs[i]: times of single runs at batchSizes[i], at least one each. */
  readonly samplesMs: readonly (readonly number[])[];
}

/** A stage of a level; a level that is not cut is one stage. */
export interface Stage {
  readonly id: string;
  /** Memory a copy takes, by device class: weights and what a run of the largest batch needs. */
  readonly memoryBytes: ReadonlyMap<string, number>;
  /** By device class; a class that is absent cannot run the stage. */
  readonly service: ReadonlyMap<string, ServiceTimes>;
  /** Joules of one run above the idle device, by device class, at the sizes of `service`; absent: from the device's watts. */
  readonly energyJ: ReadonlyMap<string, readonly number[]>;
  /** Handed to the next stage (or back to the caller) per row. */
  readonly outputBytesPerRow: number;
}

/** A model of the cascade, cut one way and batched one way. */
export interface Level {
  readonly model: string;
  readonly stages: readonly Stage[];
  readonly batch: BatchPolicy;
}

/** A copy of a stage on a device. */
export interface Replica {
  readonly level: number;
  readonly stage: number;
  /** Index into `Fleet.devices`. */
  readonly device: number;
  /** Share of the stage's rows that the plan expects here; the copies of a stage add up to 1. */
  readonly share: number;
}

/** Everything a request meets. */
export interface Fleet {
  readonly classes: readonly DeviceClass[];
  readonly devices: readonly Device[];
  readonly links: Links;
  readonly levels: readonly Level[];
  readonly replicas: readonly Replica[];
}

/** Mean milliseconds of a batch of `rows`: means of the samples, interpolated between the measured sizes. */
export function meanServiceMs(times: ServiceTimes, rows: number): number {
  const { batchSizes, samplesMs } = times;
  const at = (i: number): number => mean(samplesMs[i] ?? []);
  const above = batchSizes.findIndex((size) => size >= rows);
  const last = batchSizes.length - 1;
  if (above === 0) return at(0);
  if (above < 0) {
    // Beyond the largest size the cost per row stays what it is there.
    return (at(last) * rows) / (batchSizes[last] ?? 1);
  }
  const low = batchSizes[above - 1] ?? 0;
  const high = batchSizes[above] ?? rows;
  return at(above - 1) + ((at(above) - at(above - 1)) * (rows - low)) / (high - low);
}

function mean(samples: readonly number[]): number {
  let sum = 0;
  for (const sample of samples) sum += sample;
  return samples.length === 0 ? Number.NaN : sum / samples.length;
}
