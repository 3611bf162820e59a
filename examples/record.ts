/** Runs ONNX classifiers over labelled rows and writes what they answer: recorded outputs for `hybridserve calibrate`. */
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { readNumbers } from "../cli/dataset/convert.ts";
import type { NpyArray } from "../proto/files/npy.ts";
import { readNpz, writeNpz } from "../proto/files/npz.ts";
import { firstHighest, halvesKeepingAnswers } from "./half-scores.ts";

const HELP = `Runs ONNX models over the rows of an archive and writes their scores as half-precision floats.

  node examples/record.ts --data FILE.npz --output FILE.npz [--scale N] [--step N] MODEL.onnx ...

  --data FILE     arrays named as the models' input, and "labels"; "mask" where rows are sequences
  --output FILE   arrays level0, level1, ... in the order of the models, then labels and mask
  --scale N       inputs are multiplied by it (default 1; 0.00392156862745098 brings pixels to 0..1)
  --step N        scores are rounded to multiples of it, for a smaller file (default: half precision as it is)
  --help

The models take the same rows and have one output each, its name does not matter. The command prints how many rows each
model has right, in its own single precision.
`;

/** Rows a run: small enough for the cache, large enough that the call costs nothing. */
const BATCH_ROWS = 200;
const LABELS = "labels";
const MASK = "mask";

interface Rows {
  readonly count: number;
  readonly labels: NpyArray;
  readonly mask: NpyArray | undefined;
  /** Every array of the file: the models' inputs are among them. */
  readonly arrays: ReadonlyMap<string, NpyArray>;
}

interface Scores {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

async function main(): Promise<void> {
  const { values: options, positionals: models } = parseArgs({
    allowPositionals: true,
    options: {
      data: { type: "string" },
      output: { type: "string" },
      scale: { type: "string", default: "1" },
      step: { type: "string" },
      help: { type: "boolean" },
    },
  });
  const { data, output } = options;
  if (options.help === true || data === undefined || output === undefined || models.length === 0) {
    console.log(HELP);
    process.exitCode = options.help === true ? 0 : 2;
    return;
  }
  const rows = await readRows(data);
  const recorded = new Map<string, NpyArray>();
  for (const [level, model] of models.entries()) {
    const scores = await run(model, rows, Number(options.scale));
    console.log(`${model}: ${describeAccuracy(scores, rows)}`);
    const step = options.step === undefined ? null : Number(options.step);
    recorded.set(`level${level}`, halvesOf(scores, rows.mask, step));
  }
  recorded.set(LABELS, rows.labels);
  if (rows.mask !== undefined) recorded.set(MASK, rows.mask);
  await writeFile(output, writeNpz(recorded));
}

async function readRows(file: string): Promise<Rows> {
  const arrays = readNpz(await readFile(file), file);
  const labels = arrays.get(LABELS);
  if (labels === undefined) throw new Error(`${file}: there is no array '${LABELS}'`);
  return { count: labels.shape[0] ?? 0, labels, mask: arrays.get(MASK), arrays };
}

/** The model's one output for all rows. */
async function run(model: string, rows: Rows, scale: number): Promise<Scores> {
  const session = await InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const input = session.inputMetadata[0];
  const outputName = session.outputNames[0];
  const array = input === undefined ? undefined : rows.arrays.get(input.name);
  if (input === undefined || !input.isTensor || array === undefined || outputName === undefined) {
    throw new Error(`${model}: the data has no array for its input '${input?.name}'`);
  }
  const numbers = readNumbers(array);
  const rowElements = numbers.length / rows.count;
  const parts: Scores[] = [];
  for (let first = 0; first < rows.count; first += BATCH_ROWS) {
    const last = Math.min(first + BATCH_ROWS, rows.count);
    const slice = Array.from({ length: (last - first) * rowElements }, (_, i) => numbers[first * rowElements + i] ?? 0);
    const shape = [last - first, ...array.shape.slice(1)];
    const tensor =
      input.type === "int64"
        ? new Tensor("int64", BigInt64Array.from(slice, BigInt), shape)
        : new Tensor(
            "float32",
            Float32Array.from(slice, (value) => value * scale),
            shape,
          );
    const answer = (await session.run({ [input.name]: tensor }))[outputName];
    if (!(answer?.data instanceof Float32Array)) throw new Error(`${model}: output '${outputName}' is not float32`);
    parts.push({ shape: answer.dims, values: answer.data });
  }
  await session.release();
  const values = new Float32Array(parts.reduce((sum, part) => sum + part.values.length, 0));
  let at = 0;
  for (const part of parts) {
    values.set(part.values, at);
    at += part.values.length;
  }
  return { shape: [rows.count, ...(parts[0]?.shape.slice(1) ?? [])], values };
}

/** Scores of tokens that do not count become 0: nobody reads them, and zeros take no room in the file. */
function halvesOf({ shape, values }: Scores, mask: NpyArray | undefined, step: number | null): NpyArray {
  const classes = shape.at(-1) ?? 1;
  const counts = mask === undefined ? undefined : readNumbers(mask);
  const kept = values.map((value, i) => (counts?.[Math.floor(i / classes)] === 0 ? 0 : value));
  return { datatype: "FP16", shape, data: new Uint8Array(halvesKeepingAnswers(kept, classes, step).buffer) };
}

/** A row is right where every token that counts is. */
function describeAccuracy({ shape, values }: Scores, rows: Rows): string {
  const classes = shape.at(-1) ?? 1;
  const labels = readNumbers(rows.labels);
  const counts = rows.mask === undefined ? undefined : readNumbers(rows.mask);
  const tokens = labels.length / rows.count;
  const wrong = new Set<number>();
  for (let i = 0; i < labels.length; i++) {
    const answer = firstHighest(values.subarray(i * classes, (i + 1) * classes));
    if (counts?.[i] !== 0 && answer !== labels[i]) wrong.add(Math.floor(i / tokens));
  }
  const right = rows.count - wrong.size;
  return `${right} of ${rows.count} rows right (${((100 * right) / rows.count).toFixed(2)} %)`;
}

await main();
