/** The family of the planner's example: three BERT-shaped models and a cascade over them, as a model repository. */
import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "../../planner/cascade/random.ts";
import { writeNpz } from "../../proto/files/npz.ts";
import { type BertShape, bertModel, CLASSES, parameterCount, SEQUENCE } from "./bert.ts";

/** bert-tiny, bert-mini and bert-medium of google-research/bert. */
export const SMALL_FAMILY: readonly BertShape[] = [
  { name: "bert-tiny", layers: 2, width: 128, skill: 60 },
  { name: "bert-mini", layers: 4, width: 256, skill: 85 },
  { name: "bert-medium", layers: 8, width: 512, skill: 97 },
];

/** bert-mini, bert-base and bert-large: 1.9 GB on disk. */
export const FULL_FAMILY: readonly BertShape[] = [
  { name: "bert-mini", layers: 4, width: 256, skill: 60 },
  { name: "bert-base", layers: 12, width: 768, skill: 85 },
  { name: "bert-large", layers: 24, width: 1024, skill: 97 },
];

const LARGEST_BATCH = 8;
const SEED = 1;

/** Writes what is missing of the repository; models that are there stay. */
export async function writeFamily(repository: string, family: readonly BertShape[]): Promise<void> {
  for (const shape of family) {
    const directory = join(repository, shape.name, "1");
    await mkdir(directory, { recursive: true });
    await writeFile(join(repository, shape.name, "config.pbtxt"), modelConfig(shape.name));
    const file = join(directory, "model.onnx");
    if (await exists(file)) continue;
    await writeFile(`${file}.part`, bertModel(shape, SEED));
    await rename(`${file}.part`, file);
  }
  const cascade = join(repository, "bert");
  await mkdir(join(cascade, "1"), { recursive: true });
  await writeFile(join(cascade, "config.pbtxt"), cascadeConfig());
  await writeFile(join(cascade, "1", "cascade.json"), cascadeFile(family));
}

/** Labelled rows as `calibrate` reads them: difficulties are spread evenly, so that a model's skill is its accuracy. */
export async function writeRows(file: string, rows: number, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const tokens = new BigInt64Array(rows * SEQUENCE);
  const labels = new Uint8Array(rows);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < SEQUENCE; i++) tokens[row * SEQUENCE + i] = BigInt(1_000 + Math.floor(random() * 20_000));
    const label = Math.floor(random() * CLASSES);
    const decoy = (label + 1 + Math.floor(random() * (CLASSES - 1))) % CLASSES;
    labels[row] = label;
    tokens.set([label, decoy, Math.floor(random() * 100)].map(BigInt), row * SEQUENCE);
  }
  await writeFile(
    file,
    writeNpz(
      new Map([
        ["tokens", { datatype: "INT64", shape: [rows, SEQUENCE], data: new Uint8Array(tokens.buffer) }],
        ["labels", { datatype: "UINT8", shape: [rows], data: labels }],
      ]),
    ),
  );
}

/** For the reader: what the shapes weigh. */
export function describe(shape: BertShape): string {
  return `${shape.name}: ${(parameterCount(shape) / 1e6).toFixed(1)} M parameters, right on ${shape.skill} % of the rows`;
}

function modelConfig(name: string): string {
  return `name: "${name}"
backend: "onnxruntime"
max_batch_size: ${LARGEST_BATCH}
input [ { name: "tokens" data_type: TYPE_INT64 dims: [ ${SEQUENCE} ] } ]
output [ { name: "logits" data_type: TYPE_FP32 dims: [ ${CLASSES} ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
dynamic_batching { }
`;
}

function cascadeConfig(): string {
  return `name: "bert"
backend: "cascade"
max_batch_size: ${LARGEST_BATCH}
input [ { name: "tokens" data_type: TYPE_INT64 dims: [ ${SEQUENCE} ] } ]
output [ { name: "logits" data_type: TYPE_FP32 dims: [ ${CLASSES} ] } ]
`;
}

/** The hand-made start that calibration replaces with a certified version. */
function cascadeFile(family: readonly BertShape[]): string {
  const levels = family.map(({ name }, k) => ({
    model: name,
    version: "1",
    inputs: {},
    outputs: {},
    labelMap: null,
    confidence:
      k === family.length - 1
        ? null
        : { function: "max_prob", kind: "logits", outputs: { scores: "logits" }, params: {} },
    cost: null,
  }));
  const gates = family.slice(1).map(() => ({ accept: 0.9, skip: [] }));
  const point = { name: "by-hand", gates, expected: null, certificate: null };
  const file = {
    formatVersion: 1,
    levels,
    operatingPoints: [point],
    thresholdPerformanceGraph: [],
    default: "by-hand",
    calibration: null,
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

async function exists(file: string): Promise<boolean> {
  return (await stat(file).catch(() => undefined)) !== undefined;
}
