/** Profiles models one after another on the classes of an inventory, within a time for all. */

import type { Log } from "../../model-repo/log.ts";
import type { EnergyMeter } from "../../model-repo/meters/energy-meter.ts";
import { allowedSizes, batchSizesUpTo } from "../../model-repo/profile/batch-sizes.ts";
import { type MeasuredModel, weightBytes } from "../../model-repo/profile/open-model.ts";
import { bytesPerRow } from "../../model-repo/profile/sample-requests.ts";
import { InferenceError } from "../../proto/errors.ts";
import { type DevicesFile, threadsOf } from "../../proto/files/devices-file.ts";
import type {
  ClassProfile,
  GraphProfile,
  ModelProfile,
  ProfiledRuntime,
  ProfileFile,
} from "../../proto/files/profile-file.ts";
import { gatherRows, type Tensor } from "../../proto/tensor.ts";
import { profileGraph } from "./graph-profile.ts";
import type { ProfileCache } from "./profile-cache.ts";
import { devicesHere, profileClass } from "./profile-class.ts";
import type { RowSource } from "./rows.ts";

export interface ProfileTask {
  readonly models: readonly MeasuredModel[];
  readonly inventory: DevicesFile;
  readonly rows: RowSource;
  /** undefined: powers of two. */
  readonly batchSizes: readonly number[] | undefined;
  readonly samples: number;
  readonly timeLimitMs: number;
  readonly hasGraph: boolean;
  readonly runtime: ProfiledRuntime;
  /** The output as it was: classes of other machines are taken from it. */
  readonly previous: ProfileFile | undefined;
  readonly cache: ProfileCache;
  readonly meters: readonly EnergyMeter[];
  readonly log: Log;
  readonly nowMs: () => number;
  readonly note: (text: string) => void;
  /** Starts a bar for so many samples; the returned function says how many are there, `finish` ends it. */
  readonly progress: (label: string, samples: number) => { update(samples: number): void; finish(): void };
}

/** Time goes in equal parts to what is left: each class of each model, and each graph. */
export async function profileModels(task: ProfileTask): Promise<ModelProfile[]> {
  const deadlineMs = task.nowMs() + task.timeLimitMs;
  const partsPerModel = task.inventory.classes.length + (task.hasGraph ? 1 : 0);
  let parts = task.models.length * partsPerModel;
  const nextLimitMs = () => Math.max(0, (deadlineMs - task.nowMs()) / parts--);
  const profiles: ModelProfile[] = [];
  for (const model of task.models) profiles.push(await profileModel(task, model, nextLimitMs));
  return profiles;
}

async function profileModel(task: ProfileTask, model: MeasuredModel, nextLimitMs: () => number): Promise<ModelProfile> {
  const { signature, version, modelHash } = model;
  const rows = task.rows.rowsOf(signature);
  const weights = await weightBytes(model);
  const classes: ClassProfile[] = [];
  let outputBytesPerRow: number | undefined;
  for (const { name } of task.inventory.classes) {
    const measured = await measureClass(task, model, rows, name, nextLimitMs());
    classes.push(measured.profile);
    outputBytesPerRow ??= measured.outputBytesPerRow;
  }
  const before = previousModel(task, model);
  return {
    name: signature.name,
    version,
    modelHash,
    maxBatchSize: Math.max(1, signature.maxBatchSize),
    weightBytes: weights,
    inputBytesPerRow: bytesPerRow(rows, signature.maxBatchSize),
    outputBytesPerRow: outputBytesPerRow ?? before?.outputBytesPerRow ?? 0,
    classes,
    graph: task.hasGraph ? await measureGraph(task, model, rows, weights, nextLimitMs()) : null,
  };
}

async function measureClass(
  task: ProfileTask,
  model: MeasuredModel,
  rows: readonly Tensor[],
  className: string,
  limitMs: number,
): Promise<{ readonly profile: ClassProfile; readonly outputBytesPerRow: number | undefined }> {
  const { name, maxBatchSize } = model.signature;
  const deviceClass = task.inventory.classes.find((each) => each.name === className);
  const devices = devicesHere(task.inventory, className);
  if (deviceClass === undefined || devices.length === 0) {
    return { profile: elsewhere(task, model, className), outputBytesPerRow: undefined };
  }
  const batchSizes =
    task.batchSizes === undefined ? batchSizesUpTo(maxBatchSize) : allowedSizes(task.batchSizes, maxBatchSize);
  const bar = task.progress(`${name} on ${className}`, batchSizes.length * task.samples);
  const measured = await profileClass({
    model,
    rows,
    rowsKey: task.rows.key,
    deviceClass,
    devices,
    batchSizes,
    samples: task.samples,
    limitMs,
    runtime: task.runtime,
    cache: task.cache,
    meters: task.meters,
    log: task.log,
    onProgress: (samples) => bar.update(samples),
  });
  bar.finish();
  if (measured.cachedSizes > 0) task.note(`  ${measured.cachedSizes} of ${batchSizes.length} sizes were in the cache`);
  if (measured.profile.stopped !== "") task.note(`  stopped: ${measured.profile.stopped}`);
  return measured;
}

/** A class that this machine has no device of: as it was measured where there is one. */
function elsewhere(task: ProfileTask, model: MeasuredModel, className: string): ClassProfile {
  const before = previousModel(task, model)?.classes.find((each) => each.class === className);
  if (before !== undefined) return before;
  const nodes = new Set(task.inventory.devices.filter((each) => each.class === className).map(({ node }) => node));
  const where = nodes.size === 0 ? "no device is of this class" : `its devices are on ${[...nodes].join(", ")}`;
  const stopped = `not on this machine (${where}): run the same command there, with this output file`;
  task.note(`${model.signature.name} on ${className}: ${stopped}`);
  return { class: className, batches: [], stopped };
}

/** Of the very model files, and the same runtime. */
function previousModel({ previous, runtime }: ProfileTask, model: MeasuredModel): ModelProfile | undefined {
  if (previous?.runtime.onnxruntime !== runtime.onnxruntime) return undefined;
  const { name } = model.signature;
  return previous.models.find((each) => each.name === name && each.modelHash === model.modelHash);
}

/** null where the model cannot be read as a graph, and where the time is up: it is then placed whole. */
async function measureGraph(
  task: ProfileTask,
  model: MeasuredModel,
  rows: readonly Tensor[],
  weights: number,
  limitMs: number,
): Promise<GraphProfile | null> {
  const { name, maxBatchSize } = model.signature;
  const threadsByClass = nodeClasses(task);
  try {
    const graph = await profileGraph({
      modelPath: model.modelPath,
      weightBytes: weights,
      feed: maxBatchSize === 0 ? rows : rows.map((tensor) => gatherRows(tensor, [0])),
      batchSize: 1,
      threadsByClass,
      signal: AbortSignal.timeout(Math.max(1, Math.ceil(limitMs))),
      note: (text) => task.note(`${name}: ${text}`),
    });
    task.note(`${name}: ${graph.nodeWeightBytes.length} nodes, ${graph.cuts.length} places to cut`);
    const before = previousModel(task, model)?.graph;
    return before?.graphHash === graph.graphHash ? { ...graph, nodeMs: { ...before.nodeMs, ...graph.nodeMs } } : graph;
  } catch (error) {
    const { code, message } = InferenceError.from(error);
    const why = code === "CANCELLED" ? "time limit; raise --time-limit, or leave it out with --no-graph" : message;
    task.note(`${name}: no graph, it will not be cut into stages: ${why}`);
    return null;
  }
}

/**
 * Threads of a run by class, of the classes that node times can stand for: cores that are here. Times of another machine
 * would be shared out otherwise; a card borrows shares when a plan is made.
 */
function nodeClasses({ inventory }: ProfileTask): Map<string, number> {
  const cpus = inventory.classes.flatMap(({ name, kind }) => {
    const [device] = devicesHere(inventory, name);
    return kind === "cpu" && device !== undefined ? [[name, threadsOf(device)] as const] : [];
  });
  // Cuts need shares of nodes: a fleet of GPUs only takes them from a core here.
  return new Map(cpus.length === 0 ? [["cpu", 1]] : cpus);
}
