/**
 * A repository with a plan beside it: `small`, `giant` in two stages as `hybridserve plan` writes them, the cascade
 * `family` over both and `other`, which no plan names. Seeded: every call gives the same answers.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeStages } from "../../../cli/plan/write-stages.ts";
import { levelHash } from "../../../model-repo/backends/certificate-hash.ts";
import { describeOnnxRuntime } from "../../../model-repo/onnx-providers.ts";
import { usableCores } from "../../../model-repo/usable-cores.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { writeNpz } from "../../../proto/files/npz.ts";
import {
  type FileReference,
  PLAN_FORMAT_VERSION,
  type PlanFile,
  type PlannedStage,
} from "../../../proto/files/plan-file.ts";
import { textHash } from "../../../proto/files/policy-hash.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { matMulModel, node, onnxModel, tensor, tensorInfo } from "../../support/onnx-writer.ts";
import { samplePlan } from "../../support/plans.ts";
import { type Cleanup, temporaryFiles } from "../../support/temporary-files.ts";
import { fp32 } from "../../support/tensors.ts";

export const WIDTH = 64;
const CLASSES = 4;
const GIANT_LAYERS = 5;
/** After three layers of two nodes: two of the wide products on either side. */
const CUT = 6;
const GOLDEN_ROWS = 4;
/** Memory of a device: room for every process of these models. */
const DEVICE_BYTES = 512 * 2 ** 20;

export interface PlacedRepository {
  /** The model repository. */
  readonly models: string;
  /** Where the plan's files are. */
  readonly folder: string;
  /** `giant` in two stages on the two devices, two copies of `small`, one on each. */
  readonly staged: PlanFile;
  /** `giant` whole on the second device, `small` on the first. */
  readonly whole: PlanFile;
  /** Writes a plan, or a text in its place, into the folder; returns its path. */
  write(plan: PlanFile | string, name?: string): Promise<string>;
}

/** `giantWidth`: size of the giant's hidden layers; its weights may lie in a file of their own. Takes some seconds. */
export async function placedRepository(
  context: Cleanup,
  { giantWidth = WIDTH, deviceBytes = DEVICE_BYTES, weightsApart = false } = {},
): Promise<PlacedRepository> {
  const root = await temporaryFiles(context, {
    "models/small/1/model.onnx": perceptron(1, WIDTH, 1),
    "models/small/config.pbtxt": modelConfig("small"),
    "models/giant/1/model.onnx": perceptron(GIANT_LAYERS, giantWidth, 2),
    "models/giant/config.pbtxt": modelConfig("giant"),
    "models/other/1/model.onnx": matMulModel([[2]], [1]),
    "models/family/1/cascade.json": JSON.stringify(CASCADE),
    "models/family/config.pbtxt": CASCADE_CONFIG,
    "plan/": "",
  });
  const models = join(root, "models");
  const folder = join(root, "plan");
  const staged = await stagedPlan(models, folder, deviceBytes, weightsApart);
  return {
    models,
    folder,
    staged,
    whole: wholePlan(staged),
    write: async (plan, name = "plan.json") => {
      const path = join(folder, name);
      await writeFile(path, typeof plan === "string" ? plan : planText(plan));
      return path;
    },
  };
}

/** As `hybridserve plan` writes it. */
export function planText(plan: PlanFile): string {
  return JSON.stringify({ formatVersion: PLAN_FORMAT_VERSION, ...plan });
}

/** Rows for the models' input, other ones for another seed. */
export function inputRows(rows: number, seed: number): Tensor {
  const random = seededRandom(seed);
  return fp32(
    "x",
    [rows, WIDTH],
    Array.from({ length: rows * WIDTH }, () => 2 * random() - 1),
  );
}

const CONFIDENCE = { function: "max_prob", kind: "logits", outputs: { scores: "scores" } };
/** What a point of two levels is expected to do; gears need to know what they cost. */
function expected(escalated: number): object {
  return {
    accuracy: 0.9,
    lastLevelAccuracy: 0.92,
    reach: [1, escalated],
    paths: [
      [1 - escalated, escalated],
      [0, 1],
    ],
    harm: 0.03,
    gap: 0.02,
    disagreement: 0.05,
    cost: { value: 1 + 10 * escalated, unit: "cpuSeconds", source: "given" },
  };
}

const CASCADE = {
  formatVersion: 1,
  levels: [
    { model: "small", confidence: CONFIDENCE },
    { model: "giant", version: "1" },
  ],
  operatingPoints: [
    { name: "AP", gates: [{ accept: 0.5 }], expected: expected(0.5) },
    { name: "EO", gates: [{ accept: 0.4 }], expected: expected(0.2) },
  ],
  default: "AP",
};
const TENSORS = `
input { name: "x" data_type: TYPE_FP32 dims: [ ${WIDTH} ] }
output { name: "scores" data_type: TYPE_FP32 dims: [ ${CLASSES} ] }`;
const CASCADE_CONFIG = `backend: "cascade" max_batch_size: 16 ${TENSORS}
parameters { key: "operating_point" value: { string_value: "AP" } }`;

function modelConfig(name: string): string {
  return `name: "${name}" backend: "onnxruntime" max_batch_size: 8 ${TENSORS}\ninstance_group { count: 1 kind: KIND_CPU }`;
}

/** `scores` = layers of tanh(h W) over `x` and a last product; nothing of it is fused, so that it can be cut anywhere. */
function perceptron(layers: number, width: number, seed: number): Buffer {
  const random = seededRandom(seed);
  const weight = (name: string, rows: number, columns: number) => {
    const scale = 3 / Math.sqrt(rows);
    const values = new Float32Array(rows * columns);
    for (let i = 0; i < values.length; i++) values[i] = scale * (2 * random() - 1);
    return tensor(name, "FP32", [rows, columns], new Uint8Array(values.buffer));
  };
  const hidden = Array.from({ length: layers }, (_, i) => i);
  return onnxModel({
    nodes: [
      ...hidden.flatMap((i) => [
        node("MatMul", [i === 0 ? "x" : `h${i - 1}`, `w${i}`], [`p${i}`]),
        node("Tanh", [`p${i}`], [`h${i}`]),
      ]),
      node("MatMul", [`h${layers - 1}`, "head"], ["scores"]),
    ],
    inputs: [tensorInfo("x", "FP32", ["N", WIDTH])],
    outputs: [tensorInfo("scores", "FP32", ["N", CLASSES])],
    initializers: [
      ...hidden.map((i) => weight(`w${i}`, i === 0 ? WIDTH : width, width)),
      weight("head", width, CLASSES),
    ],
  });
}

async function stagedPlan(
  models: string,
  folder: string,
  memoryBytes: number,
  weightsApart: boolean,
): Promise<PlanFile> {
  const {
    stages: written,
    weights,
    differences,
    expected,
  } = await writeStages({
    modelPath: join(models, "giant", "1", "model.onnx"),
    optimisation: "extended",
    graphHash: "",
    cuts: [CUT],
    feed: [inputRows(GOLDEN_ROWS, 3)],
    directory: join(folder, "stages"),
    stageIds: ["giant-0", "giant-1"],
    stageLevel: "all",
    ...(weightsApart ? { weightsFile: "giant.weights" } : {}),
  });
  const golden = await writeGolden(folder, [inputRows(GOLDEN_ROWS, 3)], expected);
  const [core0 = 0, core1 = 0] = await usableCores();
  const sample = samplePlan();
  const hashes = new Map([
    ["small", await levelHash(join(models, "small", "1"))],
    ["giant", await levelHash(join(models, "giant", "1"))],
  ]);
  const maxAbsDifference = Math.max(0, ...differences.map(({ maxAbs }) => maxAbs));
  return {
    ...sample,
    provenance: { ...sample.provenance, onnxruntime: (await describeOnnxRuntime()).version },
    classes: [{ name: "core", kind: "cpu", memoryBytes, watts: null }],
    devices: sample.devices.map((device, i) => ({ ...device, cpus: String(i === 0 ? core0 : core1) })),
    models: sample.models.map((model) => ({
      ...model,
      modelHash: hashes.get(model.name) ?? "",
      ...(model.name === "giant" ? { weights: inStages(weights), numerics: { maxAbsDifference, golden } } : {}),
    })),
    stages: sample.stages.map((stage) => ({ ...stage, ...fileOf(written.find(({ id }) => id === stage.id)) })),
  };
}

function fileOf(written: Pick<PlannedStage, "id" | "file" | "cut" | "inputs" | "outputs"> | undefined) {
  return written === undefined ? {} : { ...written, file: inStages(written.file) };
}

/** A file as the plan names it. */
function inStages(file: FileReference | null): FileReference | null {
  return file === null ? null : { ...file, path: `stages/${file.path}` };
}

async function writeGolden(folder: string, feed: readonly Tensor[], expected: readonly Tensor[]) {
  const path = "golden/giant.npz";
  const named = (prefix: string, tensors: readonly Tensor[]) =>
    tensors.map(({ name, ...array }) => [`${prefix}:${name}`, array] as const);
  const bytes = writeNpz(new Map([...named("input", feed), ...named("output", expected)]));
  await mkdir(join(folder, "golden"), { recursive: true });
  await writeFile(join(folder, path), bytes);
  return { path, hash: textHash(bytes) };
}

/** The giant's own file on the second device, other batches; one copy of `small` on the first. */
function wholePlan(staged: PlanFile): PlanFile {
  const copy = { replica: 0, share: 1, intraOpThreads: 1 };
  return {
    ...staged,
    models: staged.models.map((model) =>
      model.name === "giant"
        ? {
            ...model,
            stages: ["giant-whole"],
            weights: null,
            numerics: null,
            batch: { max: 2, preferred: [2], maxQueueDelayUs: 500 },
          }
        : model,
    ),
    stages: staged.stages.flatMap((stage) => {
      if (stage.id === "giant-1") return [];
      const uncut = { index: 0, file: null, cut: null, inputs: [], outputs: [] };
      return stage.id === "giant-0" ? [{ ...stage, ...uncut, id: "giant-whole" }] : [stage];
    }),
    placements: [
      { ...copy, stage: "small-0", device: "core0" },
      { ...copy, stage: "giant-whole", device: "core1" },
    ],
    explanation: { ...staged.explanation, placements: ["", ""] },
  };
}
