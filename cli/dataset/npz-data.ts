/** Data sets in NumPy archives: the cascade's inputs with labels, or outputs of levels that ran elsewhere. */
import type { NpyArray } from "../../proto/files/npy.ts";
import { readNpz } from "../../proto/files/npz.ts";
import type { Tensor } from "../../proto/tensor.ts";
import type { TensorSpec } from "../../scheduler/signature.ts";
import { convertElements, isFloat, isWhole, readNumbers } from "./convert.ts";
import {
  badData,
  type Dataset,
  type DatasetOptions,
  describeShape,
  type Images,
  type InputsDataset,
  MAX_DATASET_BYTES,
  type RecordedDataset,
  shapeFits,
} from "./dataset.ts";
import { readGroups, readLabels } from "./labels.ts";

const LABELS = "labels";
const GROUPS = "groups";
const MASK = "mask";
const FIRST_LEVEL = "level0";

type Arrays = ReadonlyMap<string, NpyArray>;

/** The data set in an archive: recorded outputs where it has `level0` and the cascade no input of that name. */
export function npzDataset(bytes: Uint8Array, file: string, options: DatasetOptions): Dataset {
  const arrays = readNpz(bytes, file, MAX_DATASET_BYTES);
  const isRecorded = arrays.has(FIRST_LEVEL) && !options.inputs.some(({ name }) => name === FIRST_LEVEL);
  return isRecorded ? recordedDataset(arrays, file, options) : inputsDataset(arrays, file, options);
}

function inputsDataset(arrays: Arrays, file: string, options: DatasetOptions): InputsDataset {
  const wanted = options.inputs.filter(({ name, optional }) => optional !== true || arrays.has(name));
  const inputs = wanted.map((spec) => readInput(arrays, spec, file, options));
  const first = inputs[0];
  if (first === undefined) throw badData(`${file}: there is no array for any input of the cascade`);
  const rows = first.shape[0] ?? 0;
  checkRows(rows, file);
  for (const { name, shape } of inputs) {
    if (shape[0] !== rows) {
      throw badData(`${file}: array '${name}' has ${shape[0]} rows, array '${first.name}' has ${rows}`);
    }
  }
  const images = wanted.length === 1 ? imagesOf(arrays.get(first.name)) : null;
  return { kind: "inputs", rows, inputs, images, ...readLabelled(arrays, rows, file, options) };
}

function readInput(arrays: Arrays, spec: TensorSpec, file: string, options: DatasetOptions): Tensor {
  const where = `${file}: array '${spec.name}'`;
  const array = arrays.get(spec.name);
  if (array === undefined) {
    const names = [...arrays.keys()].map((name) => `'${name}'`).join(", ");
    throw badData(`${where} is missing: the cascade has an input of that name; the file has ${names}`);
  }
  if (array.shape.length === 0 || !shapeFits(array.shape.slice(1), spec.dims)) {
    throw badData(
      `${where} is ${array.datatype} [${array.shape.join(", ")}], expected ${describeShape(spec.datatype, spec.dims)}`,
    );
  }
  const data = convertElements(array, spec.datatype, options.scale ?? 1, where);
  return { name: spec.name, datatype: spec.datatype, shape: array.shape, data };
}

/** Pixels of one byte in one or three channels are pictures. */
function imagesOf(array: NpyArray | undefined): Images | null {
  const [, channels, height, width] = array?.shape ?? [];
  if (array?.datatype !== "UINT8" || array.shape.length !== 4) return null;
  if ((channels !== 1 && channels !== 3) || height === undefined || width === undefined) return null;
  return { channels, height, width, pixels: array.data };
}

function recordedDataset(arrays: Arrays, file: string, options: DatasetOptions): RecordedDataset {
  const levels = recordedLevels(arrays, file);
  const expected = options.levels ?? Math.max(2, levels.length);
  if (levels.length !== expected) {
    throw badData(`${file}: has the outputs of ${levels.length} levels (level0...), expected ${expected}`);
  }
  const [rows = 0, ...dims] = levels[0]?.shape ?? [];
  checkRows(rows, file);
  const tokens = dims.length === 2 ? (dims[0] ?? 0) : 1;
  for (const { name, datatype, shape } of levels) {
    const levelTokens = shape.length === 3 ? shape[1] : 1;
    const ranks = shape.length === 2 || shape.length === 3;
    if (!ranks || shape[0] !== rows || levelTokens !== tokens || shape.at(-1) === 0) {
      const wanted = dims.length === 2 ? `[${rows}, ${tokens}, classes]` : `[${rows}, classes]`;
      throw badData(`${file}: array '${name}' has shape [${shape.join(", ")}], expected ${wanted}`);
    }
    if (!isFloat(datatype))
      throw badData(`${file}: array '${name}' is ${datatype}, expected FP16, FP32 or FP64 scores`);
  }
  const labelled = readLabelled(arrays, rows, file, options);
  if (labelled.labels.tokens !== tokens) {
    throw badData(
      `${file}: array '${LABELS}' has ${labelled.labels.tokens} labels a row, the levels answer ${tokens} a row`,
    );
  }
  return { kind: "recorded", rows, levels, mask: readMask(arrays, rows, tokens, file), ...labelled };
}

function recordedLevels(arrays: Arrays, file: string): Tensor[] {
  const count = [...arrays.keys()].filter((name) => /^level\d+$/.test(name)).length;
  return Array.from({ length: count }, (_, level) => {
    const name = `level${level}`;
    const array = arrays.get(name);
    if (array === undefined) throw badData(`${file}: array '${name}' is missing: levels are numbered without gaps`);
    return { name, ...array };
  });
}

function readMask(arrays: Arrays, rows: number, tokens: number, file: string): Uint8Array | null {
  const array = arrays.get(MASK);
  if (array === undefined) return null;
  const { shape, datatype } = array;
  if (shape.length !== 2 || shape[0] !== rows || shape[1] !== tokens || !isWhole(datatype)) {
    const found = `${datatype} [${shape.join(", ")}]`;
    throw badData(`${file}: array '${MASK}' is ${found}, expected BOOL or whole numbers [${rows}, ${tokens}]`);
  }
  return Uint8Array.from(readNumbers(array), (value) => (value === 0 ? 0 : 1));
}

function readLabelled(arrays: Arrays, rows: number, file: string, options: DatasetOptions) {
  const labels = arrays.get(LABELS);
  if (labels === undefined) {
    throw badData(`${file}: array '${LABELS}' is missing: calibration needs the right class of every row`);
  }
  const groupBy = options.groupBy ?? GROUPS;
  const groups = arrays.get(groupBy);
  if (groups === undefined && options.groupBy !== null) {
    throw badData(`${file}: array '${groupBy}', which --group-by names, is missing`);
  }
  return {
    labels: readLabels(labels, rows, `${file}: array '${LABELS}'`, options),
    groups: groups === undefined ? null : readGroups(groups, rows, `${file}: array '${groupBy}'`),
  };
}

function checkRows(rows: number, file: string): void {
  if (rows === 0) throw badData(`${file}: there are no rows`);
}
