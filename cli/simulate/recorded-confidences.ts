/**
 * Ways of recorded rows through a cascade: what its levels answered, as `calibrate --data` reads it (level0, level1, ...
 * [rows, classes] or [rows, tokens, classes], labels), judged by the cascade's own confidences and gates. Draws from an
 * operating point's paths forget by which way a row came to a level, which matters where gates skip levels.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { confidencesOf } from "../../planner/cascade/level-confidence.ts";
import { type Routing, reachOfRouting, waysOfConfidences } from "../../planner/simulate/ways.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeFile, CascadeLevel, OperatingPoint } from "../../proto/files/cascade-file.ts";
import { parseCascadeFile } from "../../proto/files/read-cascade-file.ts";
import { recordedScores } from "../calibrate/answered-levels.ts";
import { openDataset } from "../dataset/open-dataset.ts";
import { readText } from "../read-text.ts";

/** Most by which the share of rows that enter a level may differ from what its operating point was measured to do. */
const MOST_DIFFERENCE = 0.05;

/** How sure the levels of a cascade were of the same rows. */
export interface RecordedConfidences {
  /** As complaints name it. */
  readonly file: string;
  readonly rows: number;
  /** Of each level but the last, an element a row. */
  readonly confidences: readonly Float64Array[];
}

/** Throws INVALID_ARGUMENT where the file holds no recorded outputs, or those of another number of levels. */
export async function readRecordedConfidences(
  file: string,
  levels: readonly CascadeLevel[],
): Promise<RecordedConfidences> {
  const dataset = await openDataset(file, {
    // Recorded outputs need neither the cascade's inputs nor its output tensor.
    inputs: [],
    scores: { name: "", datatype: "FP32", dims: [] },
    classes: null,
    labelNames: null,
    scale: null,
    labelsFile: null,
    groupBy: null,
    levels: levels.length,
  });
  if (dataset.kind !== "recorded") {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${file}: --recorded needs the outputs of levels: level0, level1, ...`,
    );
  }
  const kinds = levels.map(({ confidence }) => confidence?.kind ?? null);
  const scores = recordedScores(dataset, levels, kinds, file);
  const confidences = levels.slice(0, -1).map(({ model, confidence }, k) => {
    const answered = scores[k];
    if (confidence !== null && answered !== undefined) return confidencesOf(confidence, answered);
    throw new InferenceError("FAILED_PRECONDITION", `level '${model}' has no confidence in cascade.json: calibrate it`);
  });
  return { file, rows: dataset.rows, confidences };
}

/**
 * The rows' ways by the gates of `point`. Throws FAILED_PRECONDITION where more or fewer of them enter a level than the
 * point was measured with: they are then of other data or of other models.
 */
export function routingOfPoint({ file, rows, confidences }: RecordedConfidences, point: OperatingPoint): Routing {
  const ways = waysOfConfidences(confidences, rows, point.gates);
  const routing = { kind: "recorded", ways, order: "random" } as const;
  const found = reachOfRouting(routing, point.gates.length + 1);
  for (const [level, expected] of (point.expected?.reach ?? []).entries()) {
    const reach = found[level] ?? 0;
    if (Math.abs(reach - expected) <= MOST_DIFFERENCE) continue;
    throw new InferenceError(
      "FAILED_PRECONDITION",
      `${file}: ${percent(reach)} of its rows enter level ${level} at operating point '${point.name}', whose cascade.json ` +
        `expects ${percent(expected)}: record the cascade's own levels on data as it was calibrated with, calibrate it ` +
        "anew on this file, or leave out --recorded",
    );
  }
  return routing;
}

/** Version `version` of cascade `name` in the first of `repositories` that has it. Rejects with NOT_FOUND where none does. */
export async function readCascadeVersion(
  repositories: readonly string[],
  name: string,
  version: string,
): Promise<CascadeFile> {
  for (const repository of repositories) {
    const path = join(repository, name, version, "cascade.json");
    if (existsSync(path)) return parseCascadeFile(await readText(path, "--model-repository"), path);
  }
  throw new InferenceError(
    "NOT_FOUND",
    `the plan is for version ${version} of cascade '${name}', which ${repositories.join(", ")} does not have: name its ` +
      "repository with --model-repository DIR",
  );
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
