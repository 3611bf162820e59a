/** What the levels of a cascade answer to labelled rows: recorded outputs, or runs here and on other servers. */
import { hashKind } from "../../model-repo/backends/certificate-hash.ts";
import type { Scores } from "../../planner/cascade/level-answers.ts";
import type { Runtime } from "../../planner/runtime.ts";
import { InferenceError } from "../../proto/errors.ts";
import { type CascadeLevel, type Cost, REMOTE_PROVIDER } from "../../proto/files/cascade-file.ts";
import { datasetHash } from "../../proto/files/row-hash.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { Images, InputsDataset, RecordedDataset } from "../dataset/dataset.ts";
import { LevelCache } from "./level-cache.ts";
import { toScores } from "./level-scores.ts";
import type { CalibrateOptions } from "./options.ts";
import { type LevelProgress, type LevelRun, runLevel } from "./run-levels.ts";

/** What the levels of a cascade said, and what it costs to ask them. */
export interface AnsweredLevels {
  readonly scores: readonly Scores[];
  readonly costs: readonly Cost[];
  readonly levelHashes: readonly string[];
  /** As `Calibration.provider`. */
  readonly provider: string;
  /** The rows that ran and what the levels answered; null for recorded outputs. */
  readonly ran: {
    readonly inputs: readonly Tensor[];
    readonly runs: readonly LevelRun[];
    readonly images: Images | null;
  } | null;
}

/** What the scores of each level hold; null: told from the values. */
type Kinds = readonly (Scores["kind"] | null)[];

/** Throws INVALID_ARGUMENT where costs are missing, or the mask of tokens is not where the cascade serves it. */
export function recordedLevels(
  dataset: RecordedDataset,
  levels: readonly CascadeLevel[],
  kinds: Kinds,
  options: CalibrateOptions,
): AnsweredLevels {
  return {
    scores: recordedScores(dataset, levels, kinds, options.data),
    costs: knownCosts(givenCosts(options, levels) ?? levels.map((level) => level.cost)),
    levelHashes: levels.map(() => ""),
    provider: "",
    ran: null,
  };
}

/** Scores of each level; `data` names the file. Throws INVALID_ARGUMENT where the mask is not as the cascade serves it. */
export function recordedScores(
  dataset: RecordedDataset,
  levels: readonly CascadeLevel[],
  kinds: Kinds,
  data: string,
): Scores[] {
  checkMask(dataset, levels, data);
  const mask: Tensor | undefined =
    dataset.mask === null
      ? undefined
      : { name: "mask", datatype: "UINT8", shape: [dataset.mask.length], data: dataset.mask };
  return dataset.levels.map((tensor, k) => toScores(tensor, mask, kinds[k] ?? null, `${data}: level${k}`));
}

/** Which tokens count must be told alike here and where the cascade serves, or its confidences are others there. */
function checkMask({ mask, levels: recorded }: RecordedDataset, levels: readonly CascadeLevel[], data: string): void {
  if ((recorded[0]?.shape.length ?? 0) < 3) return;
  for (const { model, confidence } of levels.slice(0, -1)) {
    const output = confidence?.outputs["mask"];
    if ((output !== undefined) === (mask !== null)) continue;
    throw invalid(
      output === undefined
        ? `${data} has a mask of tokens, level '${model}' reads none: its confidence would count padding when it serves. ` +
            "Give the model an output 'mask', or name it as 'mask' in the confidence's outputs in cascade.json"
        : `${data} has no array 'mask', which tells the tokens that count; level '${model}' reads it from its output ` +
            `'${output}' when it serves. Record it too, [rows, tokens], 0 at padding`,
    );
  }
}

/** Runs every level over the rows, through the cache. Rejects where a level fails. */
export async function ranLevels(
  dataset: InputsDataset,
  levels: readonly CascadeLevel[],
  kinds: Kinds,
  options: CalibrateOptions,
  runtime: Runtime,
  note: (text: string) => void,
  progress: LevelProgress,
): Promise<AnsweredLevels> {
  const given = givenCosts(options, levels);
  const cache = options.cacheDirectory === "" ? null : new LevelCache(options.cacheDirectory, note);
  const dataHash = datasetHash(dataset.inputs);
  const runs: LevelRun[] = [];
  for (const level of levels) {
    runs.push(await runLevel(level, dataset.inputs, dataHash, runtime, cache, progress));
  }
  const levelHashes = runs.map((run) => run.levelHash);
  return {
    scores: runs.map((run, k) =>
      toScores(
        run.outputs.get("scores") as Tensor, // withScores saw to the role
        run.outputs.get("mask"),
        kinds[k] ?? null,
        `level '${levels[k]?.model}'`,
      ),
    ),
    costs:
      given ??
      runs.map(({ costPerRow }) => ({ value: costPerRow, unit: runtime.costUnit, source: runtime.costSource })),
    levelHashes,
    // Levels here run on the CPU; a server does not tell what its levels run on.
    provider:
      options.url !== undefined || levelHashes.every((hash) => hashKind(hash) === "metadata") ? REMOTE_PROVIDER : "cpu",
    ran: { inputs: dataset.inputs, runs, images: dataset.images },
  };
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

function invalid(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
