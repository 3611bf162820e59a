/** Replays the golden rows of a cascade: do its levels still answer as at calibration? */
import { readFile } from "node:fs/promises";
import { ELEMENT_BYTES } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeFile, CascadeLevel, OperatingPoint } from "../../proto/files/cascade-file.ts";
import { readNpz } from "../../proto/files/npz.ts";
import { type InferenceRequest, NO_PARAMETERS } from "../../proto/inference.ts";
import { concatTensors, elementCount, type Tensor } from "../../proto/tensor.ts";
import { Cancellation } from "../../scheduler/cancellation.ts";
import { Level } from "../../scheduler/cascade/level.ts";
import { route } from "../../scheduler/cascade/policy.ts";
import type { Clock } from "../../scheduler/clock.ts";
import { readFloats } from "../../scheduler/confidence/floats.ts";
import type { Model } from "../../scheduler/model.ts";
import type { ModelSignature } from "../../scheduler/signature.ts";
import { type GoldenFinding, levelName } from "./certificate-state.ts";

/** Beside cascade.json: arrays `input:<name>` of the cascade's inputs and `level<k>:<output>` of what level k answered. */
export const GOLDEN_FILE = "golden.npz";

/**
 * Outputs may differ by this much: other processors and builds of the runtime round otherwise (up to about 1e-5 of a
 * value); another model, preprocessing or precision moves them further.
 */
export const GOLDEN_ABSOLUTE = 1e-4;
export const GOLDEN_RELATIVE = 1e-3;
/** A row that goes another way counts once its confidence moved by more: rounding may push a row over a cut it lies on. */
const CONFIDENCE_TOLERANCE = 1e-5;

/** All levels together; a load does not wait longer for a proof. */
const REPLAY_LIMIT_MS = 30_000;
/** Enough for 256 rows of large inputs, and a bound for what a file can make a load unpack. */
const MAX_GOLDEN_BYTES = 2 ** 30;

export interface GoldenReplay {
  readonly file: CascadeFile;
  readonly signature: ModelSignature;
  /** The loaded model of each level. */
  readonly models: readonly Model[];
  readonly clock: Clock;
}

/** Nothing was compared, for this reason. */
export function notCompared(gap: string): GoldenFinding {
  return { difference: undefined, routes: new Map(), gap };
}

/** Reads the golden rows at `path` and asks every level for them; what cannot be read or asked is a gap, not a failure. */
export async function replayGoldenFile(path: string, replay: GoldenReplay): Promise<GoldenFinding> {
  let arrays: Map<string, Tensor>;
  try {
    const bytes = await readFile(path);
    const read = readNpz(bytes, path, MAX_GOLDEN_BYTES);
    arrays = new Map([...read].map(([name, array]) => [name, { name, ...array }]));
  } catch (error) {
    if (isMissing(error)) return notCompared(`there is no ${GOLDEN_FILE} beside cascade.json`);
    return notCompared(`${GOLDEN_FILE} cannot be read: ${InferenceError.from(error).message}`);
  }
  const cancellation = new Cancellation(replay.clock.now() + REPLAY_LIMIT_MS);
  const stopTimer = replay.clock.at(cancellation.deadlineMs, () => {
    const text = `the golden rows took longer than ${REPLAY_LIMIT_MS / 1000} s`;
    cancellation.cancel(new InferenceError("DEADLINE_EXCEEDED", text));
  });
  try {
    return await replayRows(arrays, replay, cancellation);
  } catch (error) {
    return notCompared(`the golden rows could not be compared: ${InferenceError.from(error).message}`);
  } finally {
    stopTimer();
  }
}

async function replayRows(
  arrays: ReadonlyMap<string, Tensor>,
  { file, signature, models }: GoldenReplay,
  cancellation: Cancellation,
): Promise<GoldenFinding> {
  const inputs = named(arrays, "input:");
  const rows = inputs[0]?.shape[0] ?? 0;
  if (rows === 0) return notCompared(`${GOLDEN_FILE} holds no inputs`);
  const odd = [...arrays.values()].find((array) => array.shape[0] !== rows);
  if (odd !== undefined) {
    return notCompared(`${GOLDEN_FILE}: '${odd.name}' has ${odd.shape[0] ?? 0} rows, the inputs ${rows}`);
  }
  const request: InferenceRequest = {
    modelName: signature.name,
    modelVersion: signature.version,
    id: "golden-rows",
    parameters: NO_PARAMETERS,
    inputs,
    requestedOutputs: [],
    isProbe: true,
  };
  const routes = new Map<string, string>();
  for (const [k, configured] of file.levels.entries()) {
    const where = levelName(file, k);
    const expected = named(arrays, `level${k}:`);
    if (expected.length === 0) return notCompared(`${GOLDEN_FILE} holds no answers of ${where}`);
    const level = new Level(configured, models[k] as Model, signature, where); // one model a level
    const answers = await ask(level, request, rows, cancellation);
    const difference = expected
      .map((tensor) =>
        compare(
          tensor,
          answers.find(({ name }) => name === tensor.name),
          isScores(configured, tensor),
        ),
      )
      .find((text) => text !== undefined);
    if (difference !== undefined) {
      return { difference: `${where} answers the golden rows otherwise: ${difference}`, routes, gap: undefined };
    }
    const before = level.confidences(expected, rows);
    const now = level.confidences(answers, rows);
    if (before === undefined || now === undefined) continue;
    for (const point of file.operatingPoints) {
      if (routes.has(point.name)) continue;
      const moved = movedRow(before, now, point, k, file.levels.length - 1);
      if (moved !== undefined) routes.set(point.name, `${where} routes the golden rows otherwise: ${moved}`);
    }
  }
  return { difference: undefined, routes, gap: undefined };
}

/** The level's answers to all rows, asked no more at a time than it takes. */
async function ask(
  level: Level,
  request: InferenceRequest,
  rows: number,
  cancellation: Cancellation,
): Promise<Tensor[]> {
  const parts: (readonly Tensor[])[] = [];
  for (let start = 0; start < rows; start += level.maxRows) {
    const chunk = Array.from({ length: Math.min(level.maxRows, rows - start) }, (_, i) => start + i);
    parts.push((await level.model.infer(level.request(request, chunk), cancellation)).outputs);
  }
  const names = parts[0]?.map((output) => output.name) ?? [];
  return names.map((name) => concatTensors(parts.flatMap((part) => part.filter((output) => output.name === name))));
}

/** The first difference beyond rounding as a text; undefined: none. */
function compare(expected: Tensor, found: Tensor | undefined, isScore: boolean): string | undefined {
  if (found === undefined) return `there is no output '${expected.name}'`;
  if (found.datatype !== expected.datatype || found.shape.join() !== expected.shape.join()) {
    return (
      `output '${expected.name}' is ${found.datatype} [${found.shape}], at calibration ` +
      `${expected.datatype} [${expected.shape}]`
    );
  }
  if (!["FP16", "FP32", "FP64"].includes(expected.datatype)) {
    return Buffer.compare(expected.data, found.data) === 0 ? undefined : `output '${expected.name}' has other values`;
  }
  const before = readFloats(expected);
  const now = readFloats(found);
  const rowElements = elementCount(expected.shape.slice(1));
  let worst = 0;
  let worstAt = -1;
  for (let i = 0; i < before.length; i++) {
    const [a, b] = [before[i] as number, now[i] as number]; // of the same length
    if (Object.is(a, b)) continue;
    const excess = Math.abs(a - b) / (GOLDEN_ABSOLUTE + GOLDEN_RELATIVE * Math.abs(a));
    if (excess <= 1 || excess <= worst) continue;
    worst = Number.isNaN(excess) ? Number.POSITIVE_INFINITY : excess;
    worstAt = i;
  }
  if (worstAt >= 0) {
    const [a, b] = [before[worstAt], now[worstAt]];
    const row = Math.floor(worstAt / rowElements);
    return `output '${expected.name}', row ${row}: ${b} instead of ${a} (allowed: ${GOLDEN_ABSOLUTE} + ${GOLDEN_RELATIVE} of it)`;
  }
  return isScore ? otherClass(before, now, expected) : undefined;
}

/** The first row whose highest score is at another class, by more than a tie. */
function otherClass(before: ArrayLike<number>, now: ArrayLike<number>, { name, shape }: Tensor): string | undefined {
  const classes = shape.at(-1) ?? 1;
  for (let start = 0; start + classes <= before.length; start += classes) {
    const was = highest(before, start, classes);
    const is = highest(now, start, classes);
    const lead = (before[start + was] ?? 0) - (before[start + is] ?? 0);
    if (was !== is && lead > GOLDEN_ABSOLUTE) {
      const rowElements = elementCount(shape.slice(1));
      return `output '${name}', row ${Math.floor(start / rowElements)}: class ${is} instead of ${was}`;
    }
  }
  return undefined;
}

function highest(values: ArrayLike<number>, start: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) if ((values[start + i] ?? 0) > (values[start + best] ?? 0)) best = i;
  return best;
}

/** The first row that the point sends another way. */
function movedRow(
  before: Float64Array,
  now: Float64Array,
  point: OperatingPoint,
  level: number,
  lastLevel: number,
): string | undefined {
  const gate = point.gates[level];
  if (gate === undefined) return undefined;
  for (let row = 0; row < before.length; row++) {
    const [was, is] = [before[row] as number, now[row] as number]; // of the same length
    if (Math.abs(was - is) <= CONFIDENCE_TOLERANCE || Object.is(was, is)) continue;
    const [from, to] = [route(was, gate, level, lastLevel), route(is, gate, level, lastLevel)];
    if (from !== to) return `row ${row}, confidence ${is} instead of ${was}, goes to level ${to} instead of ${from}`;
  }
  return undefined;
}

function isScores(level: CascadeLevel, tensor: Tensor): boolean {
  return level.confidence?.outputs["scores"] === tensor.name && ELEMENT_BYTES[tensor.datatype] > 0;
}

/** The arrays of a prefix under their names without it. */
function named(arrays: ReadonlyMap<string, Tensor>, prefix: string): Tensor[] {
  return [...arrays.values()]
    .filter((array) => array.name.startsWith(prefix))
    .map((array) => ({ ...array, name: array.name.slice(prefix.length) }));
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
