/**
 * Service times of a model on one class of devices, by batch size, as in service (planner.md 4): through the server's own
 * instances, one on each device of the class and all of them busy, with idle gaps in which caches cool, warm, and as
 * samples of single runs.
 */
import { InferenceError } from "../../proto/errors.ts";
import type { BatchProfile, MeasuredEnergy } from "../../proto/files/profile-file.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Clock } from "../../scheduler/clock.ts";
import type { ModelInstance } from "../../scheduler/instance.ts";

export interface MeasureOptions {
  /** One for each device of the class that is here; they run at the same time. */
  readonly instances: readonly ModelInstance[];
  /** Ascending. */
  readonly batchSizes: readonly number[];
  /** Several batches of a size, which runs take in turn. */
  readonly batchesOf: (batchSize: number) => readonly (readonly InferenceRequest[])[];
  /** Wanted for each size, of all instances together. */
  readonly samples: number;
  /** Measuring ends about here, by `clock`; what is missing then is said in `stopped`. */
  readonly deadlineMs: number;
  /** What a device of the class has. */
  readonly memoryBytes: number;
  /** Most that one of the instances' processes has used so far; undefined where that is not known. */
  readonly peakBytes: () => number | undefined;
  /** After the runs of a size; null where there is no meter. */
  readonly energyOf: (batches: readonly (readonly InferenceRequest[])[]) => Promise<MeasuredEnergy | null>;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly clock: Clock;
  /** A size was measured, with runs or without. */
  readonly onBatch: (batch: BatchProfile) => Promise<void> | void;
  /** Samples taken of this size so far. */
  readonly onSamples: (batchSize: number, samples: number) => void;
}

export interface MeasuredBatches {
  readonly batches: readonly BatchProfile[];
  /** "" where all sizes were measured. */
  readonly stopped: string;
}

/** Runs of every instance before those that count: memory is allocated and code compiled in the first. */
const WARM_UP_RUNS = 3;
/**
 * Before the first size the code of this process, too, is compiled as a server's is that has served for a while: so many
 * runs, as far as they fit into the time.
 */
const FIRST_RUNS = 300;
const FIRST_RUNS_MS = 1_000;
const FIRST_RUNS_SHARE = 0.1;
/** Fewer samples say nothing of a distribution; they are taken even where the time is short. */
const LEAST_SAMPLES = 5;
/** Mean idle gap for each millisecond of a run: devices that plans make are busy for about this share of the time. */
const BUSY_SHARE = 0.6;
const GAP_PER_RUN = (1 - BUSY_SHARE) / BUSY_SHARE;
/**
 * Mean gap at least, as on a server that plans keep busy. Caches cool and cores fall asleep within some milliseconds, which
 * runs below a millisecond notice (measured, 0.8 ms back to back: 1.09 ms after gaps of 2 ms, 1.19 of 4, 1.36 of 8 and
 * more): on a server that idles most of the time, small models take up to a quarter longer than profiled.
 */
const LEAST_GAP_MS = 2;

/** Measures one size after another until all are done, the time is up, memory does not suffice or a run fails. */
export async function measureBatches(options: MeasureOptions): Promise<MeasuredBatches> {
  const { batchSizes, batchesOf, clock, deadlineMs, memoryBytes, peakBytes } = options;
  const batches: BatchProfile[] = [];
  const stop = (stopped: string): MeasuredBatches => ({ batches, stopped });
  try {
    await runFirst(options);
  } catch (error) {
    return stop(`failure at batches of ${batchSizes[0]} rows: ${InferenceError.from(error).message}`);
  }
  for (const [i, batchSize] of batchSizes.entries()) {
    const leftMs = deadlineMs - clock.now();
    if (leftMs < leastMs(batches.at(-1), batchSize, options.instances.length)) {
      return stop(`time limit: batches of ${batchSize} rows and more were not measured; raise --time-limit`);
    }
    const requests = batchesOf(batchSize);
    try {
      const untilMs = clock.now() + leftMs / (batchSizes.length - i);
      const serviceMs = await sampleRuns(options, batchSize, requests, untilMs);
      const peak = peakBytes() ?? 0;
      if (peak > memoryBytes) {
        return stop(
          `memory: a batch of ${batchSize} rows needs ${mebibytes(peak)}, a device of the class has ${mebibytes(memoryBytes)}`,
        );
      }
      const batch = { batchSize, serviceMs, peakBytes: peak, energy: await options.energyOf(requests) };
      batches.push(batch);
      await options.onBatch(batch);
    } catch (error) {
      return stop(`failure at batches of ${batchSize} rows: ${InferenceError.from(error).message}`);
    }
  }
  return stop("");
}

async function runFirst({ instances, batchSizes, batchesOf, clock, deadlineMs }: MeasureOptions): Promise<void> {
  const [size] = batchSizes;
  if (size === undefined) return;
  const batches = batchesOf(size);
  const untilMs = clock.now() + Math.min(FIRST_RUNS_MS, (deadlineMs - clock.now()) * FIRST_RUNS_SHARE);
  await allEnded(
    instances.map(async (instance) => {
      for (let i = 0; i < FIRST_RUNS && clock.now() < untilMs; i++) {
        await instance.execute(batches[i % batches.length] ?? []);
      }
    }),
  );
}

/** All end before anybody goes on: an instance that still runs would disturb what comes next. Throws the first failure. */
async function allEnded(lanes: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(lanes)).find((lane) => lane.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** Least time that a size takes, guessed from the size before: the warm-up and the least samples, gaps included. */
function leastMs(before: BatchProfile | undefined, batchSize: number, instances: number): number {
  if (before === undefined) return 0;
  const sorted = [...before.serviceMs].sort((a, b) => a - b);
  const runMs = ((sorted[sorted.length >> 1] ?? 0) * batchSize) / before.batchSize;
  return runMs * WARM_UP_RUNS + (LEAST_SAMPLES / instances) * (runMs + meanGapMs(runMs));
}

function meanGapMs(runMs: number): number {
  return Math.max(LEAST_GAP_MS, runMs * GAP_PER_RUN);
}

/** Milliseconds of single runs in the order they ended. */
async function sampleRuns(
  options: MeasureOptions,
  batchSize: number,
  batches: readonly (readonly InferenceRequest[])[],
  untilMs: number,
): Promise<number[]> {
  const { instances, samples, clock, random } = options;
  const serviceMs: number[] = [];
  let isFailed = false;
  const isDone = () =>
    isFailed || serviceMs.length >= samples || (serviceMs.length >= LEAST_SAMPLES && clock.now() >= untilMs);
  const lane = async (instance: ModelInstance, number: number): Promise<void> => {
    let turn = number;
    const run = async (): Promise<number> => {
      const startedMs = clock.now();
      await instance.execute(batches[turn++ % batches.length] ?? []);
      return clock.now() - startedMs;
    };
    let lastMs = 0;
    for (let i = 0; i < WARM_UP_RUNS; i++) lastMs = await run();
    while (!isDone()) {
      await idle(clock, -Math.log(1 - random()) * meanGapMs(lastMs));
      lastMs = await run();
      if (serviceMs.length >= samples) return;
      serviceMs.push(lastMs);
      options.onSamples(batchSize, serviceMs.length);
    }
  };
  await allEnded(
    instances.map((instance, i) =>
      lane(instance, i).catch((error: unknown) => {
        isFailed = true;
        throw error;
      }),
    ),
  );
  return serviceMs;
}

function idle(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => clock.at(clock.now() + ms, resolve));
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
