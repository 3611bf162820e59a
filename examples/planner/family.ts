/** Families of BERT-shaped models and a cascade over each, as a model repository; labelled rows for them. */
import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "../../planner/cascade/random.ts";
import { writeNpz } from "../../proto/files/npz.ts";
import { BERT_SIZES, type BertShape, bertModel, CLASSES, parameterCount, SEQUENCE } from "./bert.ts";

/** Models smallest first, and devices that hold the largest in stages only. */
export interface Family {
  readonly shapes: readonly BertShape[];
  /** Cores that models get, each a device. */
  readonly devices: number;
  /** Of every device. Less than the largest model takes when it is opened, more than each of its stages does. */
  readonly memoryMib: number;
}

/** bert-tiny before bert-base (google-research/bert): 686 MiB whole, 450 and 360 MiB in two stages (x64). */
export const SMALL_FAMILY: Family = {
  shapes: [
    { name: "bert-tiny", ...BERT_SIZES.tiny, skill: 60 },
    { name: "bert-base", ...BERT_SIZES.base, skill: 97 },
  ],
  devices: 2,
  memoryMib: 610,
};

/** bert-mini, bert-base and bert-large: 1.9 GB on disk. */
export const FULL_FAMILY: Family = {
  shapes: [
    { name: "bert-mini", ...BERT_SIZES.mini, skill: 60 },
    { name: "bert-base", ...BERT_SIZES.base, skill: 85 },
    { name: "bert-large", ...BERT_SIZES.large, skill: 97 },
  ],
  devices: 3,
  memoryMib: 1600,
};

const LARGEST_BATCH = 8;
const SEED = 1;
const DIFFICULTIES = 100;
/** Name of the cascade. */
export const CASCADE = "bert";

/** Writes what is missing of the repository; models that are there stay. */
export async function writeFamily(repository: string, { shapes }: Family): Promise<void> {
  for (const shape of shapes) {
    const directory = join(repository, shape.name, "1");
    await mkdir(directory, { recursive: true });
    await writeFile(join(repository, shape.name, "config.pbtxt"), modelConfig(shape.name));
    const file = join(directory, "model.onnx");
    if (await exists(file)) continue;
    await writeFile(`${file}.part`, bertModel(shape, SEED));
    await rename(`${file}.part`, file);
  }
  const cascade = join(repository, CASCADE);
  await mkdir(join(cascade, "1"), { recursive: true });
  await writeFile(join(cascade, "config.pbtxt"), cascadeConfig());
  await writeFile(join(cascade, "1", "cascade.json"), cascadeFile(shapes));
}

/** Rows of SEQUENCE tokens with their labels and difficulties. */
export interface LabelledRows {
  readonly count: number;
  /** [count, SEQUENCE] */
  readonly tokens: BigInt64Array;
  readonly labels: Uint8Array;
  /** 0 to 99 each. */
  readonly difficulties: Uint8Array;
}

/** Every hundred rows have each difficulty once, in random order: a model's skill is its accuracy. */
export function makeRows(count: number, seed: number): LabelledRows {
  const random = seededRandom(seed);
  const tokens = new BigInt64Array(count * SEQUENCE);
  const labels = new Uint8Array(count);
  const difficulties = new Uint8Array(count);
  let order: number[] = [];
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < SEQUENCE; i++) tokens[row * SEQUENCE + i] = BigInt(1_000 + Math.floor(random() * 20_000));
    const label = Math.floor(random() * CLASSES);
    const decoy = (label + 1 + Math.floor(random() * (CLASSES - 1))) % CLASSES;
    if (row % DIFFICULTIES === 0) order = shuffled(DIFFICULTIES, random);
    const difficulty = order[row % DIFFICULTIES] ?? 0;
    labels[row] = label;
    difficulties[row] = difficulty;
    tokens.set([label, decoy, difficulty].map(BigInt), row * SEQUENCE);
  }
  return { count, tokens, labels, difficulties };
}

/** As `calibrate` reads them. */
export async function writeRows(file: string, { count, tokens, labels }: LabelledRows): Promise<void> {
  await writeFile(
    file,
    writeNpz(
      new Map([
        ["tokens", { datatype: "INT64", shape: [count, SEQUENCE], data: new Uint8Array(tokens.buffer) }],
        ["labels", { datatype: "UINT8", shape: [count], data: labels }],
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
  return `name: "${CASCADE}"
backend: "cascade"
max_batch_size: ${LARGEST_BATCH}
input [ { name: "tokens" data_type: TYPE_INT64 dims: [ ${SEQUENCE} ] } ]
output [ { name: "logits" data_type: TYPE_FP32 dims: [ ${CLASSES} ] } ]
`;
}

/** The hand-made start that calibration replaces with a certified version. */
function cascadeFile(shapes: readonly BertShape[]): string {
  const levels = shapes.map(({ name }, k) => ({
    model: name,
    version: "1",
    inputs: {},
    outputs: {},
    labelMap: null,
    confidence:
      k === shapes.length - 1
        ? null
        : { function: "max_prob", kind: "logits", outputs: { scores: "logits" }, params: {} },
    cost: null,
  }));
  const gates = shapes.slice(1).map(() => ({ accept: 0.9, skip: [] }));
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

/** 0 to count - 1 in random order (Fisher and Yates). */
function shuffled(count: number, random: () => number): number[] {
  const values = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [values[i], values[j]] = [values[j] ?? 0, values[i] ?? 0];
  }
  return values;
}

async function exists(file: string): Promise<boolean> {
  return (await stat(file).catch(() => undefined)) !== undefined;
}
