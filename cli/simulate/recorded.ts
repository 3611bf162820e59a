/** What a workload records in files of its own: arrival times, and which level answered real rows. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { seededRandom } from "../../planner/cascade/random.ts";
import type { ArrivalProcess } from "../../planner/simulate/arrivals.ts";
import { type Routing, waysOfExits } from "../../planner/simulate/ways.ts";
import { InferenceError } from "../../proto/errors.ts";
import { readNpz } from "../../proto/files/npz.ts";
import type { Arrivals } from "../../proto/files/workload-file.ts";
import { elementCount } from "../../proto/tensor.ts";
import { readNumbers } from "../dataset/convert.ts";

const SEED = 1;

/** Paths are relative to `workloadFile`. Throws INVALID_ARGUMENT naming file and line. */
export async function arrivalProcess(
  arrivals: Arrivals,
  workloadFile: string,
): Promise<{ readonly process: ArrivalProcess /** Coefficient of variation of the gaps. */; readonly cv: number }> {
  switch (arrivals.process) {
    case "poisson":
      return { process: arrivals, cv: 1 };
    case "gamma":
      return { process: arrivals, cv: arrivals.cv };
    case "trace": {
      const path = join(dirname(workloadFile), arrivals.file);
      const timesMs = parseTrace((await readNamed(path)).toString("utf8"), path);
      return { process: { process: "trace", timesMs }, cv: variationOfGaps(timesMs) };
    }
  }
}

/** Array `exits` of an .npz: the level whose answer stood, a row each. */
export async function recordedRouting(
  file: string,
  paths: readonly (readonly number[])[],
  workloadFile: string,
): Promise<Routing> {
  const path = join(dirname(workloadFile), file);
  const exits = readNpz(await readNamed(path), path).get("exits");
  if (exits === undefined || elementCount(exits.shape) === 0) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${path}: it needs an array 'exits' with the level that answered each row`,
    );
  }
  const values = Array.from(readNumbers(exits));
  const wrong = values.findIndex((level) => !Number.isInteger(level) || level < 0 || level >= paths.length);
  if (wrong >= 0) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${path}: exits[${wrong}] is ${values[wrong]}, the workload has levels 0 to ${paths.length - 1}`,
    );
  }
  return { kind: "recorded", ways: waysOfExits(values, paths, seededRandom(SEED)), order: "random" };
}

/** One time in milliseconds a line, ascending; empty lines and lines that begin with # do not count. */
export function parseTrace(text: string, path: string): Float64Array {
  const times: number[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const time = Number(trimmed);
    if (!Number.isFinite(time) || time < (times.at(-1) ?? 0)) {
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `${path}:${i + 1}: '${trimmed.slice(0, 40)}' must be a time in milliseconds, not before the one above it`,
      );
    }
    times.push(time);
  }
  if (times.length < 2) throw new InferenceError("INVALID_ARGUMENT", `${path}: a trace needs at least two times`);
  return Float64Array.from(times);
}

function variationOfGaps(timesMs: Float64Array): number {
  const gaps = timesMs.slice(1).map((time, i) => time - (timesMs[i] ?? 0));
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
  return mean === 0 ? 1 : Math.sqrt(variance) / mean;
}

async function readNamed(path: string): Promise<Buffer> {
  return readFile(path).catch((error: unknown) => {
    throw new InferenceError(
      "NOT_FOUND",
      `the workload names a file: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
}
