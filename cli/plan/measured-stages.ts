/** The stages that a plan cuts a model into: written beside the plan, and measured as profiles measure models. */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../../model-repo/log.ts";
import { measureBatches } from "../../model-repo/profile/measure-batches.ts";
import {
  type MeasuredModel,
  type OpenedFile,
  openFileOnDevices,
  readMeasuredModel,
  sessionSettings,
} from "../../model-repo/profile/open-model.ts";
import { toBatches } from "../../model-repo/profile/sample-requests.ts";
import { seededRandom } from "../../planner/cascade/random.ts";
import type { Stage } from "../../planner/fleet.ts";
import { peakBytes, powersOfTwo, type StagedModel, serviceOf } from "../../planner/plan/stage-options.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { DevicesFile } from "../../proto/files/devices-file.ts";
import { writeNpz } from "../../proto/files/npz.ts";
import type { Numerics } from "../../proto/files/plan-file.ts";
import { textHash } from "../../proto/files/policy-hash.ts";
import type { ClassProfile, ModelProfile } from "../../proto/files/profile-file.ts";
import type { Tensor } from "../../proto/tensor.ts";
import { SystemClock } from "../../scheduler/clock.ts";
import { devicesHere } from "../profile/profile-class.ts";
import type { RowSource } from "../profile/rows.ts";
import { joined, runAll, stageRequest, tensorMap } from "./stage-batches.ts";
import { type WrittenStage, type WrittenStages, writeStages } from "./write-stages.ts";

export interface StageMeasuring {
  readonly repositories: readonly string[];
  readonly inventory: DevicesFile;
  readonly rows: RowSource;
  /** Directory of the plan. */
  readonly directory: string;
  readonly samples: number;
  /** For each stage on each class. */
  readonly limitMs: number;
  readonly log: Log;
  readonly note: (text: string) => void;
}

/** What a plan file says of a way to cut that was measured. */
export interface CutModel {
  /** Holds the stage files, relative to the plan's directory. */
  readonly folder: string;
  readonly written: WrittenStages;
  readonly numerics: Numerics;
}

/** Folder beside plan.json with one folder for each model that is cut. */
export const STAGE_FOLDER = "stages";

/** Stages round otherwise than the whole model where a cut lies within what the optimiser fuses (planner.md 1.3). */
const LARGEST_DIFFERENCE = 1e-3;
/** Other processors round otherwise again: the boot allows a multiple of what was measured. */
const ROUNDING_ROOM = 10;
const GOLDEN_ROWS = 4;
/** Different inputs of a batch size, which runs take in turn. */
const BATCHES = 4;
/** Weights beyond this, and those that already are in files of their own, go to one file that the stages share. */
const MOST_WEIGHTS_INSIDE = 2 ** 30;
const SEED = 1;

/** Remembers what it measured: the plan file tells of the ways that were chosen. */
export class MeasuredStages {
  readonly #options: StageMeasuring;
  readonly #measured = new Map<string, Promise<StagedModel | string>>();
  readonly #cut = new Map<string, CutModel>();

  constructor(options: StageMeasuring) {
    this.#options = options;
  }

  /** Of a way that `measure` took. */
  cutModel(model: string, { cuts }: StagedModel): CutModel | undefined {
    return this.#cut.get(keyOf(model, cuts));
  }

  /** Writes the stage files and measures each on every class that is here; a text says why this way cannot be served. */
  measure(profile: ModelProfile, way: StagedModel): Promise<StagedModel | string> {
    const key = keyOf(profile.name, way.cuts);
    const measured = this.#measured.get(key) ?? this.#measureOrRefuse(profile, way);
    this.#measured.set(key, measured);
    return measured;
  }

  /** Removes the files of ways that the plan does not use. */
  async removeOthers(kept: readonly (CutModel | undefined)[]): Promise<void> {
    for (const { folder } of this.#cut.values()) {
      if (kept.some((cut) => cut?.folder === folder)) continue;
      await this.#removeFiles(folder);
    }
  }

  async #removeFiles(folder: string): Promise<void> {
    await rm(join(this.#options.directory, folder), { recursive: true, force: true });
  }

  async #measureOrRefuse(profile: ModelProfile, way: StagedModel): Promise<StagedModel | string> {
    try {
      const measured = await this.#measure(profile, way);
      if (typeof measured === "string") await this.#removeFiles(folderOf(profile.name, way.cuts));
      return measured;
    } catch (error) {
      if (!(error instanceof InferenceError)) throw error;
      await this.#removeFiles(folderOf(profile.name, way.cuts));
      return error.message;
    }
  }

  async #measure(profile: ModelProfile, way: StagedModel): Promise<StagedModel | string> {
    const { repositories, rows, directory } = this.#options;
    const model = await readMeasuredModel(repositories, profile.name);
    const feed = joined(toBatches(model.signature, rows.rowsOf(model.signature), goldenRows(profile), 1)[0] ?? []);
    const folder = folderOf(profile.name, way.cuts);
    const written = await this.#write(profile, way, model, feed);
    const largest = Math.max(0, ...written.differences.map(({ maxAbs }) => maxAbs));
    if (largest > LARGEST_DIFFERENCE) return `its stages answer up to ${largest} otherwise than the whole model`;
    const stages = await this.#measureStages(profile, way, model, written.stages);
    const golden = await writeGolden(directory, folder, feed, written.expected);
    const numerics = { maxAbsDifference: largest * ROUNDING_ROOM, golden };
    this.#cut.set(keyOf(profile.name, way.cuts), { folder, written, numerics });
    return { cuts: way.cuts, stages, isMeasured: true };
  }

  async #write(
    { name, graph, weightBytes }: ModelProfile,
    { cuts, stages }: StagedModel,
    { modelPath }: MeasuredModel,
    feed: readonly Tensor[],
  ): Promise<WrittenStages> {
    if (graph === null) throw new InferenceError("INTERNAL", `model '${name}' was cut without a graph`);
    const options = {
      modelPath,
      optimisation: graph.optimisation,
      graphHash: graph.graphHash,
      cuts,
      feed,
      directory: join(this.#options.directory, folderOf(name, cuts)),
      stageIds: stages.map(({ id }) => id),
      stageLevel: "all",
    } as const;
    const isApart = weightBytes > MOST_WEIGHTS_INSIDE;
    const written = await writeStages(isApart ? { ...options, weightsFile: `${name}.weights` } : options);
    // References to the repository's files would not be found from the plan's directory.
    if (isApart || written.externalDataDirectory === null) return written;
    return writeStages({ ...options, weightsFile: `${name}.weights` });
  }

  /** One stage after the other: what one computes is what the next is measured on. */
  async #measureStages(
    profile: ModelProfile,
    way: StagedModel,
    model: MeasuredModel,
    written: readonly WrittenStage[],
  ): Promise<Stage[]> {
    const { rows } = this.#options;
    const sizes = powersOfTwo(profile.maxBatchSize);
    const inputRows = rows.rowsOf(model.signature);
    const batches = new Map(
      sizes.map((size) => [
        size,
        toBatches(model.signature, inputRows, size, BATCHES).map((requests) => tensorMap(joined(requests))),
      ]),
    );
    const measured: Stage[] = [];
    for (const [i, stage] of written.entries()) {
      const estimate = way.stages[i];
      if (estimate === undefined) throw new InferenceError("INTERNAL", `stage '${stage.id}' was not asked for`);
      const classes = await this.#measureStage(model, folderOf(profile.name, way.cuts), stage, sizes, batches);
      measured.push(withMeasurements(estimate, classes));
    }
    return measured;
  }

  async #measureStage(
    model: MeasuredModel,
    folder: string,
    stage: WrittenStage,
    sizes: readonly number[],
    batches: ReadonlyMap<number, readonly Map<string, Tensor>[]>,
  ): Promise<ClassProfile[]> {
    const { inventory, directory, log } = this.#options;
    const bound = (tensors: WrittenStage["inputs"]) =>
      tensors.map(({ name, datatype, shape }) => ({ name, datatype, dims: shape, reshape: undefined }));
    const file: OpenedFile = {
      label: stage.id,
      model: model.config.name,
      modelPath: join(directory, folder, stage.file?.path ?? ""),
      settings: { ...sessionSettings(model.config), graphOptimizationLevel: "all" },
      batches: false,
      inputs: bound(stage.inputs),
      outputs: bound(stage.outputs),
    };
    const requestsOf = (size: number) =>
      (batches.get(size) ?? []).map((tensors) => [stageRequest(model, stage, tensors)]);
    const profiles: ClassProfile[] = [];
    let hasRun = false;
    for (const deviceClass of inventory.classes) {
      const devices = devicesHere(inventory, deviceClass.name);
      if (devices.length === 0) continue;
      const clock = new SystemClock();
      const opened = await openFileOnDevices(file, devices, deviceClass, { clock, log }).catch((error: unknown) =>
        InferenceError.from(error),
      );
      if (opened instanceof InferenceError) {
        profiles.push({ class: deviceClass.name, batches: [], stopped: opened.message.trimEnd() });
        continue;
      }
      try {
        const result = await measureBatches({
          instances: opened.instances,
          batchSizes: sizes,
          batchesOf: requestsOf,
          samples: this.#options.samples,
          deadlineMs: clock.now() + this.#options.limitMs,
          memoryBytes: deviceClass.memoryBytes,
          peakBytes: () => opened.peakBytes(),
          energyOf: async () => null,
          random: seededRandom(SEED),
          clock,
          onBatch: () => undefined,
          onSamples: () => undefined,
        });
        profiles.push({ class: deviceClass.name, ...result });
        this.#options.note(`  ${stage.id} on ${deviceClass.name}: ${summary(result.batches)}`);
        const [instance] = opened.instances;
        if (hasRun || instance === undefined || result.batches.length === 0) continue;
        await runAll(instance, model, stage, batches);
        hasRun = true;
      } finally {
        await opened.close();
      }
    }
    if (profiles.length > 0 && !hasRun) throw refused(stage, profiles);
    return profiles;
  }
}

/** Measured where the class is here, as estimated elsewhere; without the classes that it does not run on. */
function withMeasurements(estimate: Stage, classes: readonly ClassProfile[]): Stage {
  const memoryBytes = new Map(estimate.memoryBytes);
  const service = new Map(estimate.service);
  for (const each of classes) {
    if (each.batches.length === 0) {
      memoryBytes.delete(each.class);
      service.delete(each.class);
    } else {
      memoryBytes.set(each.class, peakBytes(each));
      service.set(each.class, serviceOf(each));
    }
  }
  return { ...estimate, memoryBytes, service };
}

async function writeGolden(
  directory: string,
  folder: string,
  feed: readonly Tensor[],
  expected: readonly Tensor[],
): Promise<Numerics["golden"]> {
  const path = `${folder}/golden.npz`;
  const bytes = writeNpz(
    new Map([
      ...feed.map(({ name, ...array }) => [`input:${name}`, array] as const),
      ...expected.map(({ name, ...array }) => [`output:${name}`, array] as const),
    ]),
  );
  await writeFile(join(directory, path), bytes);
  return { path, hash: textHash(bytes) };
}

function refused({ id }: WrittenStage, classes: readonly ClassProfile[]): InferenceError {
  const why = classes.map((each) => `on class '${each.class}': ${each.stopped}`).join("; ");
  return new InferenceError("FAILED_PRECONDITION", `stage '${id}' does not run ${why}`);
}

function summary(batches: ClassProfile["batches"]): string {
  const first = batches[0];
  const last = batches.at(-1);
  if (first === undefined || last === undefined) return "not measured";
  const mean = (samples: readonly number[]) => samples.reduce((sum, ms) => sum + ms, 0) / samples.length;
  return `${mean(first.serviceMs).toFixed(2)} ms a batch of ${first.batchSize}, ${mean(last.serviceMs).toFixed(2)} ms of ${last.batchSize}, ${Math.round(last.peakBytes / 2 ** 20)} MiB`;
}

function goldenRows({ maxBatchSize }: ModelProfile): number {
  return Math.min(GOLDEN_ROWS, maxBatchSize);
}

/** Different cuts of a model do not share files. */
function folderOf(model: string, cuts: readonly number[]): string {
  return `${STAGE_FOLDER}/${model}-${cuts.join("-")}`;
}

function keyOf(model: string, cuts: readonly number[]): string {
  return `${model} ${cuts.join()}`;
}
