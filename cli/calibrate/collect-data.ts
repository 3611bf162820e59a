/** Everything a calibration looks at: the cascade's levels, their scores on the labelled rows, costs and hashes. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { CalibrationData } from "../../planner/cascade/calibrate.ts";
import type { Scores } from "../../planner/cascade/level-answers.ts";
import type { Runtime } from "../../planner/runtime.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeLevel, Cost } from "../../proto/files/cascade-file.ts";
import { textHash } from "../../proto/files/policy-hash.ts";
import { datasetHash, rowHashes } from "../../proto/files/row-hash.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { TensorSpec } from "../../scheduler/signature.ts";
import type { Images } from "../dataset/dataset.ts";
import { openDataset } from "../dataset/open-dataset.ts";
import { LevelCache } from "./level-cache.ts";
import { toScores } from "./level-scores.ts";
import { locateCascade } from "./locate-cascade.ts";
import { newCascade, newCascadeConfig } from "./new-cascade.ts";
import { openRuntime } from "./open-runtime.ts";
import type { CalibrateOptions } from "./options.ts";
import { type LevelRun, runLevel } from "./run-levels.ts";

export interface CollectedData {
  readonly data: CalibrationData;
  /** `<repository>/<cascade>`. */
  readonly directory: string;
  readonly levelHashes: readonly string[];
  readonly provider: string;
  /** The rows that ran and what the levels answered; null for recorded outputs. */
  readonly ran: {
    readonly inputs: readonly Tensor[];
    readonly runs: readonly LevelRun[];
    readonly images: Images | null;
  } | null;
  /** Names of the classes; null where no labels.txt tells them. */
  readonly labelNames: readonly string[] | null;
  /** Writes the configuration of a cascade that is new; nothing where it is there. */
  prepareDirectory(): Promise<void>;
}

/** `note` gets a line now and then for the user. Rejects with what is wrong with models, data or their fit. */
export async function collectData(options: CalibrateOptions, note: (text: string) => void): Promise<CollectedData> {
  const located = await locateCascade(options.repositories, options.model);
  if (located.file !== undefined && options.levels.length > 0) {
    throw invalid(`cascade '${options.model}' is there already: leave out --levels, or name a new cascade`);
  }
  if (located.file === undefined && options.levels.length === 0) {
    throw invalid(`there is no cascade '${options.model}'; make one with --levels SMALLEST,...,LARGEST`);
  }
  const names = located.file?.levels.map((level) => level.model) ?? options.levels;
  const runtime = await openRuntime(options.repositories, names, options.url, note);
  try {
    const created =
      located.file === undefined ? newCascade(names.map((name) => runtime.signature(name, ""))) : undefined;
    const levels = withScores(located.file?.levels ?? created?.levels ?? []);
    const labelNames = await readLabelNames(options.repositories, [options.model, ...names].reverse());
    const scoresSpec = scoresOf(levels, runtime);
    const dataset = await openDataset(options.data, {
      inputs: cascadeInputs(levels, runtime),
      scores: scoresSpec,
      classes: classesOf(scoresSpec),
      labelNames,
      scale: options.scale ?? null,
      labelsFile: options.labels ?? null,
      groupBy: options.groupBy ?? null,
      levels: levels.length,
    });
    const shared = {
      directory: located.directory,
      labelNames,
      prepareDirectory: async () => {
        if (created === undefined) return;
        await mkdir(located.directory, { recursive: true });
        await writeFile(join(located.directory, "config.pbtxt"), newCascadeConfig(options.model, created));
      },
    };
    const groups = dataset.groups;
    const tensors = dataset.kind === "inputs" ? dataset.inputs : dataset.levels;
    const hashes = groups?.map((group) => textHash(group).slice("sha256:".length)) ?? rowHashes(tensors);
    const common = {
      labels: dataset.labels,
      rowHashes: hashes,
      groups: groups === null ? null : numbered(groups),
    };
    if (dataset.kind === "recorded") {
      const scores = dataset.levels.map((tensor, k) =>
        toScores(
          tensor,
          maskTensor(dataset.mask),
          kindOf(levels[k], located.file !== undefined),
          `${options.data}: level${k}`,
        ),
      );
      const costs = givenCosts(options, levels) ?? levels.map((level) => level.cost);
      return {
        ...shared,
        data: { ...common, levels, scores, costs: knownCosts(costs) },
        levelHashes: levels.map(() => ""),
        provider: "",
        ran: null,
      };
    }
    const cache = options.cacheDirectory === "" ? null : new LevelCache(options.cacheDirectory, note);
    const dataHash = datasetHash(dataset.inputs);
    const runs: LevelRun[] = [];
    for (const level of levels) {
      runs.push(await runLevel(level, dataset.inputs, dataHash, runtime, cache, progressLines(note)));
    }
    const scores = runs.map((run, k) =>
      toScores(
        run.outputs.get("scores") as Tensor, // withScores saw to the role
        run.outputs.get("mask"),
        kindOf(levels[k], located.file !== undefined),
        `level '${levels[k]?.model}'`,
      ),
    );
    const measured = runs.map(({ costPerRow }): Cost => {
      return { value: costPerRow, unit: runtime.costUnit, source: runtime.costSource };
    });
    return {
      ...shared,
      data: { ...common, levels, scores, costs: givenCosts(options, levels) ?? measured },
      levelHashes: runs.map((run) => run.levelHash),
      provider: "cpu",
      ran: { inputs: dataset.inputs, runs, images: dataset.images },
    };
  } finally {
    await runtime.close();
  }
}

/** labels.txt of the cascade or of a level, one class a line; null where none has it. */
async function readLabelNames(repositories: readonly string[], models: readonly string[]): Promise<string[] | null> {
  for (const repository of repositories) {
    for (const model of [...models].reverse()) {
      const text = await readFile(join(repository, model, "labels.txt"), "utf8").catch(() => undefined);
      if (text !== undefined) return text.trimEnd().split("\n");
    }
  }
  return null;
}

/** The last level's tensor of scores. */
function scoresOf(levels: readonly CascadeLevel[], runtime: Runtime): TensorSpec {
  const last = levels.at(-1);
  const name = last?.confidence?.outputs["scores"];
  const signature = last === undefined ? undefined : runtime.signature(last.model, last.version);
  const spec = signature?.outputs.find((output) => output.name === name);
  if (spec !== undefined) return spec;
  throw invalid(`level '${last?.model}' has no output '${name}'; its confidence in cascade.json names it`);
}

/** A single score tells two classes apart. */
function classesOf({ dims }: TensorSpec): number | null {
  const classes = dims.at(-1) ?? 1;
  if (classes === -1) return null;
  return classes === 1 ? 2 : classes;
}

function maskTensor(mask: Uint8Array | null): Tensor | undefined {
  return mask === null ? undefined : { name: "mask", datatype: "UINT8", shape: [mask.length], data: mask };
}

/** Every level needs a tensor of scores, the last too: its answers are what the others are judged by. */
function withScores(levels: readonly CascadeLevel[]): CascadeLevel[] {
  const output = levels.flatMap((level) => Object.keys(level.outputs))[0];
  return levels.map((level) => {
    if (level.confidence?.outputs["scores"] !== undefined) return level;
    const scores = output === undefined ? undefined : (level.outputs[output] ?? output);
    if (scores === undefined) {
      throw invalid(
        `level '${level.model}' names no tensor of scores: give it a confidence with outputs { "scores": ... } in ` +
          "cascade.json",
      );
    }
    const confidence = level.confidence ?? { function: "max_prob", kind: "logits" as const, outputs: {}, params: {} };
    return { ...level, confidence: { ...confidence, outputs: { ...confidence.outputs, scores } } };
  });
}

/** The cascade's inputs as its levels take them: one row's shape of each. */
function cascadeInputs(levels: readonly CascadeLevel[], runtime: Runtime): TensorSpec[] {
  const inputs = new Map<string, TensorSpec>();
  for (const level of levels) {
    const signature = runtime.signature(level.model, level.version);
    for (const spec of signature.inputs) {
      const name = level.inputs[spec.name] ?? spec.name;
      const dims = signature.maxBatchSize > 0 ? spec.dims : spec.dims.slice(1);
      if (!inputs.has(name)) inputs.set(name, { ...spec, name, dims });
    }
  }
  return [...inputs.values()];
}

/** What a cascade file says of its scores counts; of a new cascade it is told from the values. */
function kindOf(level: CascadeLevel | undefined, isWritten: boolean): Scores["kind"] | null {
  return isWritten ? (level?.confidence?.kind ?? null) : null;
}

function givenCosts({ costs, costUnit }: CalibrateOptions, levels: readonly CascadeLevel[]): Cost[] | undefined {
  if (costs === undefined) return undefined;
  if (costs.length === levels.length) return costs.map((value) => ({ value, unit: costUnit, source: "given" }));
  throw invalid(`--costs names ${costs.length} costs, the cascade has ${levels.length} levels`);
}

function knownCosts(costs: readonly (Cost | null)[]): Cost[] {
  return costs.map((cost) => {
    if (cost !== null) return cost;
    throw invalid("recorded outputs do not tell what a level costs: give --costs, one number a level");
  });
}

function numbered(groups: readonly string[]): Int32Array {
  const numbers = new Map<string, number>();
  return Int32Array.from(groups, (group) => {
    const known = numbers.get(group) ?? numbers.size;
    numbers.set(group, known);
    return known;
  });
}

/** One line a level: what was computed and what was there from before. */
function progressLines(note: (text: string) => void) {
  let cachedRows = 0;
  let before = 0;
  return (level: CascadeLevel, rowsDone: number, rows: number, cached: boolean) => {
    if (cached) cachedRows += rowsDone - before;
    before = rowsDone;
    if (rowsDone < rows) return;
    note(`${level.model}: ${rows} rows${cachedRows === 0 ? "" : `, ${cachedRows} of them from the cache`}`);
  };
}

function invalid(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
