/** Everything a calibration looks at: the cascade's levels, their scores on the labelled rows, costs and hashes. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { diskFiles } from "../../model-repo/repository-files.ts";
import type { CalibrationData } from "../../planner/cascade/calibrate.ts";
import { copiedRows } from "../../planner/cascade/splits.ts";
import { InferenceError } from "../../proto/errors.ts";
import { textHash } from "../../proto/files/policy-hash.ts";
import { rowHashes } from "../../proto/files/row-hash.ts";
import { didYouMean } from "../../proto/suggest.ts";
import type { Dataset } from "../dataset/dataset.ts";
import { openDataset } from "../dataset/open-dataset.ts";
import { type AnsweredLevels, ranLevels, recordedLevels } from "./answered-levels.ts";
import { cascadeInputs, classesOf, scoresOf, withScores } from "./level-wiring.ts";
import { type LocatedCascade, locateCascade } from "./locate-cascade.ts";
import { newCascade, newCascadeConfig } from "./new-cascade.ts";
import { openRuntime } from "./open-runtime.ts";
import type { CalibrateOptions } from "./options.ts";
import type { LevelProgress } from "./run-levels.ts";

export interface CollectedData extends Omit<AnsweredLevels, "scores" | "costs"> {
  readonly data: CalibrationData;
  /** `<repository>/<cascade>`. */
  readonly directory: string;
  /** Hex hash of what each row is, whatever its group. */
  readonly contentHashes: readonly string[];
  /** Names of the classes; null where no labels.txt tells them. */
  readonly labelNames: readonly string[] | null;
  /** Writes the configuration of a cascade that is new; nothing where it is there. */
  prepareDirectory(): Promise<void>;
}

const SCALE_TEXT =
  "bytes of pictures are given to the levels as they are, 0 to 255; where these take 0 to 1, give " +
  "--scale 0.00392156862745098 (1/255)";

/** `note` gets warnings, `progress` every chunk of every level. Rejects with what is wrong with models, data or their fit. */
export async function collectData(
  options: CalibrateOptions,
  note: (text: string) => void,
  progress: LevelProgress,
): Promise<CollectedData> {
  const located = await locateLevels(options);
  const runtime = await openRuntime(options.repositories, located.names, options.url, note);
  try {
    const signatureOf = (name: string, version: string) => runtime.signature(name, version);
    const created =
      located.file === undefined ? newCascade(located.names.map((name) => signatureOf(name, ""))) : undefined;
    const levels = withScores(located.file?.levels ?? created?.levels ?? [], signatureOf);
    const labelNames = await readLabelNames(options.repositories, [options.model, ...located.names]);
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
    const rows = identify(dataset, note);
    if (arePlainBytes(dataset, options)) note(SCALE_TEXT);
    // What a cascade file says of its scores counts; of a new cascade it is told from the values.
    const kinds = levels.map((level) => (created === undefined ? (level.confidence?.kind ?? null) : null));
    const answered =
      dataset.kind === "recorded"
        ? recordedLevels(dataset, levels, kinds, options)
        : await ranLevels(dataset, levels, kinds, options, runtime, note, progress);
    const { scores, costs, ...known } = answered;
    return {
      ...known,
      data: { levels, scores, labels: dataset.labels, costs, rowHashes: rows.hashes, groups: rows.groups },
      contentHashes: rows.contentHashes,
      directory: located.directory,
      labelNames,
      prepareDirectory: async () => {
        if (created === undefined) return;
        await mkdir(located.directory, { recursive: true });
        await writeFile(join(located.directory, "config.pbtxt"), newCascadeConfig(options.model, created));
      },
    };
  } finally {
    await runtime.close();
  }
}

/** The cascade and the names of its levels' models; rejects where `--levels` and what is there contradict. */
async function locateLevels(
  options: CalibrateOptions,
): Promise<LocatedCascade & { readonly names: readonly string[] }> {
  const { model, levels, repositories, url } = options;
  const located = await locateCascade(repositories, model);
  const known = [...(await diskFiles.list(repositories)).models.keys()];
  if (located.file !== undefined && levels.length > 0) {
    throw invalid(`cascade '${model}' is there already: leave out --levels, or name a new cascade`);
  }
  if (located.file === undefined && levels.length === 0) {
    throw invalid(
      `there is no cascade '${model}'${didYouMean(model, known)}; make one with --levels SMALLEST,...,LARGEST`,
    );
  }
  const names = located.file?.levels.map((level) => level.model) ?? levels;
  // With --url the levels are on the other server, which says itself what it lacks.
  const missing = url === undefined ? names.find((name) => !known.includes(name)) : undefined;
  if (missing !== undefined) {
    const from = located.file === undefined ? "--levels" : `a level of cascade '${model}'`;
    throw new InferenceError(
      "NOT_FOUND",
      `${from}: there is no model '${missing}' in ${repositories.join(", ")}${didYouMean(missing, known)}`,
    );
  }
  return { ...located, names };
}

/** What decides the split of each row, and what it is. */
function identify(dataset: Dataset, note: (text: string) => void) {
  const contentHashes = rowHashes(dataset.kind === "inputs" ? dataset.inputs : dataset.levels);
  if (dataset.groups !== null) {
    const hashes = dataset.groups.map((group) => textHash(group).slice("sha256:".length));
    return { hashes, contentHashes, groups: numbered(dataset.groups) };
  }
  const copies = copiedRows(contentHashes);
  if (copies > 0) note(copiesText(copies, contentHashes.length));
  return { hashes: contentHashes, contentHashes, groups: null };
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

/** Bytes of pictures from an archive, given to a model that takes floating-point numbers. */
function arePlainBytes(dataset: Dataset, { data, scale }: CalibrateOptions): boolean {
  if (dataset.kind !== "inputs" || dataset.images === null || !data.endsWith(".npz")) return false;
  return scale === undefined && dataset.inputs[0]?.datatype.startsWith("FP") === true;
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
