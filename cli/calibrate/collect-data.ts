/** Everything a calibration looks at: the cascade's levels, their scores on the labelled rows, costs and hashes. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { CalibrationData } from "../../planner/cascade/calibrate.ts";
import type { Scores } from "../../planner/cascade/level-answers.ts";
import { copiedRows } from "../../planner/cascade/splits.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeLevel, Cost } from "../../proto/files/cascade-file.ts";
import { textHash } from "../../proto/files/policy-hash.ts";
import { datasetHash, rowHashes } from "../../proto/files/row-hash.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { Images } from "../dataset/dataset.ts";
import { openDataset } from "../dataset/open-dataset.ts";
import { LevelCache } from "./level-cache.ts";
import { toScores } from "./level-scores.ts";
import { cascadeInputs, classesOf, scoresOf, withScores } from "./level-wiring.ts";
import { locateCascade } from "./locate-cascade.ts";
import { newCascade, newCascadeConfig } from "./new-cascade.ts";
import { openRuntime } from "./open-runtime.ts";
import type { CalibrateOptions } from "./options.ts";
import { type LevelProgress, type LevelRun, runLevel } from "./run-levels.ts";

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

/** `note` gets warnings, `progress` every chunk of every level. Rejects with what is wrong with models, data or their fit. */
export async function collectData(
  options: CalibrateOptions,
  note: (text: string) => void,
  progress: LevelProgress,
): Promise<CollectedData> {
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
    const signatureOf = (name: string, version: string) => runtime.signature(name, version);
    const created =
      located.file === undefined ? newCascade(names.map((name) => runtime.signature(name, ""))) : undefined;
    const levels = withScores(located.file?.levels ?? created?.levels ?? [], signatureOf);
    const labelNames = await readLabelNames(options.repositories, [options.model, ...names]);
    const scoresSpec = scoresOf(levels, signatureOf);
    const dataset = await openDataset(options.data, {
      inputs: cascadeInputs(levels, signatureOf),
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
    const copies = groups === null ? copiedRows(hashes) : 0;
    if (copies > 0) note(copiesText(copies, hashes.length));
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
      runs.push(await runLevel(level, dataset.inputs, dataHash, runtime, cache, progress));
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
    for (const model of models) {
      const text = await readFile(join(repository, model, "labels.txt"), "utf8").catch(() => undefined);
      if (text !== undefined) return text.trimEnd().split("\n");
    }
  }
  return null;
}

function maskTensor(mask: Uint8Array | null): Tensor | undefined {
  return mask === null ? undefined : { name: "mask", datatype: "UINT8", shape: [mask.length], data: mask };
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

function copiesText(copies: number, rows: number): string {
  return (
    `${copies} of ${rows} rows are copies of other rows. Where traffic repeats inputs as often, that is right; copies ` +
    "that somebody made make a certificate promise too much: leave them out"
  );
}

function invalid(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
