/** One model on one class of devices: what was measured before, and the rest measured now. */
import { hostname } from "node:os";
import type { Log } from "../../model-repo/log.ts";
import { type EnergyMeter, sourceOf } from "../../model-repo/meters/energy-meter.ts";
import { measureBatches } from "../../model-repo/profile/measure-batches.ts";
import { measureEnergy, measureIdleWatts } from "../../model-repo/profile/measure-energy.ts";
import { type MeasuredModel, openOnDevices } from "../../model-repo/profile/open-model.ts";
import { bytesPerRow, toBatches } from "../../model-repo/profile/sample-requests.ts";
import { seededRandom } from "../../planner/cascade/random.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { Device, DeviceClass, DevicesFile } from "../../proto/files/devices-file.ts";
import type { JsonField } from "../../proto/files/json-field.ts";
import {
  type BatchProfile,
  type ClassProfile,
  type ProfiledRuntime,
  readBatch,
} from "../../proto/files/profile-file.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { SystemClock } from "../../scheduler/clock.ts";
import type { ProfileCache } from "./profile-cache.ts";

export interface ClassTask {
  readonly model: MeasuredModel;
  readonly rows: readonly Tensor[];
  /** What decides the rows. */
  readonly rowsKey: string;
  readonly deviceClass: DeviceClass;
  /** Of the class, on this machine. */
  readonly devices: readonly Device[];
  /** Ascending. */
  readonly batchSizes: readonly number[];
  readonly samples: number;
  readonly limitMs: number;
  readonly runtime: ProfiledRuntime;
  readonly cache: ProfileCache;
  /** All of the machine; those of the class are used. */
  readonly meters: readonly EnergyMeter[];
  readonly log: Log;
  /** Samples that are there, of all sizes. */
  readonly onProgress: (samples: number) => void;
}

export interface MeasuredClass {
  readonly profile: ClassProfile;
  /** undefined: nothing ran. */
  readonly outputBytesPerRow: number | undefined;
  /** Sizes whose measurements were kept from before. */
  readonly cachedSizes: number;
}

interface Kept {
  readonly batch: BatchProfile;
  readonly outputBytesPerRow: number;
}

/** More instances than these tell nothing new about how neighbours disturb each other, and take memory. */
const MOST_INSTANCES = 8;
/** Batches that runs take in turn. */
const BATCHES = 8;
const SEED = 1;

/** Devices of a class on this machine: those whose node is `local` or this machine's name. */
export function devicesHere({ devices }: DevicesFile, className: string): Device[] {
  const here = ["local", hostname()];
  return devices.filter((device) => device.class === className && here.includes(device.node)).slice(0, MOST_INSTANCES);
}

/** Never rejects for what the model or the device does: that is in the profile's `stopped`. */
export async function profileClass(task: ClassTask): Promise<MeasuredClass> {
  const kept: Kept[] = [];
  for (const size of task.batchSizes) {
    const found = await task.cache.get(cacheKey(task, size), readKept);
    // Sizes are measured in this order: what is missing in between was stopped.
    if (found === undefined) break;
    kept.push(found);
  }
  task.onProgress(kept.length * task.samples);
  const batches = kept.map(({ batch }) => batch);
  const outputBytesPerRow = kept[0]?.outputBytesPerRow;
  const name = task.deviceClass.name;
  if (kept.length === task.batchSizes.length) {
    return { profile: { class: name, batches, stopped: "" }, outputBytesPerRow, cachedSizes: kept.length };
  }
  const fresh = await measureRest(task, kept.length);
  return {
    profile: { class: name, batches: [...batches, ...fresh.batches], stopped: fresh.stopped },
    outputBytesPerRow: fresh.outputBytesPerRow ?? outputBytesPerRow,
    cachedSizes: kept.length,
  };
}

interface Fresh {
  readonly batches: readonly BatchProfile[];
  readonly stopped: string;
  readonly outputBytesPerRow: number | undefined;
}

async function measureRest(task: ClassTask, firstSize: number): Promise<Fresh> {
  const { model, rows, deviceClass, devices, samples, cache } = task;
  if (task.limitMs <= 0) {
    const stopped = "time limit: the model was not opened on this class; raise --time-limit";
    return { batches: [], stopped, outputBytesPerRow: undefined };
  }
  const clock = new SystemClock();
  const deadlineMs = clock.now() + task.limitMs;
  const opened = await openOnDevices(model, devices, deviceClass, { clock, log: task.log }).catch((error: unknown) =>
    InferenceError.from(error),
  );
  if (opened instanceof InferenceError) {
    const stopped = `the model does not load on a device of the class: ${opened.message.trimEnd()}`;
    return { batches: [], stopped, outputBytesPerRow: undefined };
  }
  const { instances } = opened;
  try {
    const batchesOf = (size: number) => toBatches(model.signature, rows, size, BATCHES);
    const first = await instances[0]?.execute(batchesOf(1)[0] ?? []);
    const outputBytesPerRow = bytesPerRow(first?.outputs[0] ?? [], model.signature.maxBatchSize);
    const meters = metersOf(task);
    const idleWatts = meters.length === 0 ? 0 : await measureIdleWatts(meters, clock);
    const measured = await measureBatches({
      instances,
      batchSizes: task.batchSizes.slice(firstSize),
      batchesOf,
      samples,
      deadlineMs,
      memoryBytes: deviceClass.memoryBytes,
      peakBytes: () => opened.peakBytes(),
      energyOf: async (batches) =>
        meters.length === 0 ? null : await measureEnergy({ meters, idleWatts, instances, batches, clock }),
      random: seededRandom(SEED),
      clock,
      onBatch: (batch) => cache.put(cacheKey(task, batch.batchSize), { batch, outputBytesPerRow }),
      onSamples: (size, count) => task.onProgress(task.batchSizes.indexOf(size) * samples + count),
    });
    return { ...measured, outputBytesPerRow };
  } catch (error) {
    const stopped = `failure: ${InferenceError.from(error).message}`;
    return { batches: [], stopped, outputBytesPerRow: undefined };
  } finally {
    await opened.close();
  }
}

/** Processors share their meters; a card has its own. */
function metersOf({ meters, deviceClass, devices }: ClassTask): EnergyMeter[] {
  const ordinals = devices.map(({ ordinal }) => ordinal);
  return meters.filter(({ ordinal }) => (deviceClass.kind === "cpu" ? ordinal < 0 : ordinals.includes(ordinal)));
}

/** Everything that decides what is measured. */
function cacheKey(task: ClassTask, batchSize: number): object {
  const { model, deviceClass, devices, samples, runtime, rowsKey } = task;
  return {
    modelHash: model.modelHash,
    config: model.config,
    deviceClass: { kind: deviceClass.kind, memoryBytes: deviceClass.memoryBytes },
    devices: devices.map(({ cpus, ordinal }) => [cpus, ordinal]),
    meters: sourceOf(metersOf(task)),
    samples,
    runtime,
    rowsKey,
    batchSize,
  };
}

function readKept(field: JsonField): Kept {
  field.object(["batch", "outputBytesPerRow"]);
  return { batch: readBatch(field.get("batch")), outputBytesPerRow: field.get("outputBytesPerRow").number(0) };
}
