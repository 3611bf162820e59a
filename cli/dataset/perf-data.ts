/** perf_analyzer's input-data JSON: read with validation data as labels, written from real inputs. */
import type { Labels } from "../../planner/cascade/level-answers.ts";
import { ELEMENT_BYTES } from "../../proto/datatypes.ts";
import { JsonField } from "../../proto/files/json-field.ts";
import { decodeStrings, encodeStrings } from "../../proto/files/npy-strings.ts";
import { concatTensors, elementCount, gatherRows, type Tensor } from "../../proto/tensor.ts";
import type { TensorSpec } from "../../scheduler/signature.ts";
import { firstUnfit, fromNumbers, isFloat, readNumbers } from "./convert.ts";
import { badData, type DatasetOptions, describeShape, type InputsDataset, shapeFits } from "./dataset.ts";
import { checkLabels } from "./labels.ts";

/** Longest text read; base64 of some 190 MB of inputs. */
const MAX_CHARACTERS = 256 * 1024 * 1024;
/** Values may be nested as their shape is; deeper than any shape they are refused. */
const MAX_NESTING = 16;

/** Rows of `data` with the answers of `validation_data`; entries of several streams follow each other. */
export function perfDataset(text: string, file: string, options: DatasetOptions): InputsDataset {
  if (options.scale !== null) {
    throw badData(`${file}: holds what the model takes as it is, --scale does not apply; leave it out`);
  }
  const root = parse(text, file);
  const entries = steps(root.get("data"));
  const answers = steps(root.get("validation_data"));
  const rows = entries.length;
  if (rows === 0) throw badData(`${file}: data has no entries`);
  if (answers.length !== rows) {
    throw badData(`${file}: validation_data has ${answers.length} entries, data has ${rows}: one for each is expected`);
  }
  const wanted = options.inputs.filter(({ name, optional }) => optional !== true || entries[0]?.optional(name));
  const inputs = wanted.map((spec) => {
    const parts = entries.map((entry) => readRow(entry.get(spec.name), spec));
    return concatTensors(sameShapes(parts, file));
  });
  return { kind: "inputs", rows, inputs, labels: readAnswers(answers, file, options), groups: null, images: null };
}

/**
 * The named rows of a model's inputs as perf_analyzer's `--input-data`: numbers as base64 of their bytes, so that they
 * stay what they are, strings as texts.
 */
export function perfAnalyzerData(inputs: readonly Tensor[], rows: readonly number[]): string {
  const entries = rows.map((row) => {
    const tensors = inputs.map((input) => {
      const { data, datatype } = gatherRows(input, [row]);
      const shape = input.shape.slice(1);
      if (datatype === "BYTES") return [input.name, { content: decodeStrings(data), shape }] as const;
      const b64 = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
      return [input.name, { b64, shape }] as const;
    });
    return JSON.stringify(Object.fromEntries(tensors));
  });
  return `{"data": [\n${entries.join(",\n")}\n]}\n`;
}

function parse(text: string, file: string): JsonField {
  if (text.length > MAX_CHARACTERS) {
    throw badData(`${file}: has ${text.length} characters, at most ${MAX_CHARACTERS}; use a .npz file`);
  }
  try {
    return new JsonField(file, "", JSON.parse(text));
  } catch (error) {
    throw badData(`${file}: not valid JSON: ${(error as SyntaxError).message}`);
  }
}

/** Entries of one stream, or of all streams where there are several. */
function steps(field: JsonField): JsonField[] {
  return field.items().flatMap((item) => (Array.isArray(item.value) ? item.items() : [item]));
}

/** One row of a tensor, shape [1, ...]: an array, `{content, shape}` or `{b64, shape}`. */
function readRow(field: JsonField, spec: TensorSpec): Tensor {
  const { name, datatype, dims } = spec;
  const isList = Array.isArray(field.value);
  const given = isList ? undefined : field.object(["content", "shape", "b64"]).optional("shape");
  const shape = given?.items().map((dim) => dim.integer(0)) ?? dims;
  if (!shapeFits(shape, dims)) {
    throw field.error(`has shape [${shape.join(", ")}], expected ${describeShape(datatype, dims)} without the rows`);
  }
  if (shape.includes(-1)) throw field.error(`needs a "shape": '${name}' is ${describeShape(datatype, dims)}`);
  const count = elementCount(shape);
  const base64 = isList ? undefined : field.optional("b64");
  const data = base64 === undefined ? readContent(isList ? field : field.get("content"), spec) : decode(base64, spec);
  const found = datatype === "BYTES" ? decodeStrings(data).length : data.byteLength / ELEMENT_BYTES[datatype];
  if (found !== count) throw field.error(`has ${found} elements, expected ${count} for shape [${shape.join(", ")}]`);
  return { name, datatype, shape: [1, ...shape], data };
}

function decode(field: JsonField, { name, datatype }: TensorSpec): Uint8Array {
  const text = field.string();
  if (datatype === "BYTES") throw field.error(`cannot hold the strings of '${name}'; give them as "content"`);
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw field.error("is not base64");
  return new Uint8Array(Buffer.from(text, "base64"));
}

function readContent(field: JsonField, { datatype }: TensorSpec): Uint8Array {
  const values = field.items().flatMap(({ value }) => (Array.isArray(value) ? value.flat(MAX_NESTING) : [value]));
  if (datatype === "BYTES") {
    return encodeStrings(
      values.map((value, i) => {
        if (typeof value !== "string") throw field.error(`element ${i} must be a string`);
        return value;
      }),
    );
  }
  const numbers = values.map((value, i) => {
    if (typeof value === "boolean") return value ? 1 : 0;
    if (typeof value !== "number") throw field.error(`element ${i} must be a number`);
    return value;
  });
  const bad = firstUnfit(numbers, datatype);
  if (bad >= 0) throw field.error(`element ${bad}: ${numbers[bad]} is no ${datatype}`);
  return fromNumbers(numbers, datatype, 1);
}

function sameShapes(rows: readonly Tensor[], file: string): readonly Tensor[] {
  const first = rows[0]?.shape.slice(1).join(", ");
  const other = rows.findIndex(({ shape }) => shape.slice(1).join(", ") !== first);
  if (other < 0) return rows;
  const found = rows[other]?.shape.slice(1).join(", ");
  const where = `${file}: data[${other}].${rows[0]?.name}`;
  throw badData(`${where} has shape [${found}], data[0] has [${first}]: all must have one shape`);
}

function readAnswers(answers: readonly JsonField[], file: string, options: DatasetOptions): Labels {
  const labels = answers.map((answer) => readAnswer(answer, options.scores));
  const tokens = labels[0]?.length ?? 1;
  const other = labels.findIndex((row) => row.length !== tokens);
  if (other >= 0) {
    throw badData(
      `${file}: validation_data[${other}] has ${labels[other]?.length} labels, validation_data[0] ${tokens}`,
    );
  }
  return checkLabels(labels.flat(), tokens, `${file}: validation_data`, options);
}

/** The right class of one row (each token): the largest of its scores, or a whole number under any other name. */
function readAnswer(answer: JsonField, scores: TensorSpec): number[] {
  const field = answer.optional(scores.name);
  if (field !== undefined) {
    const row = readRow(field, scores);
    const numbers = readNumbers(row);
    if (!isFloat(scores.datatype)) return Array.from(numbers);
    const classes = row.shape.at(-1) ?? 1;
    if (classes < 2) throw field.error("has a single score, which names no class; give the class as a whole number");
    return Array.from({ length: numbers.length / classes }, (_, token) => argmax(numbers, token * classes, classes));
  }
  const [only, ...others] = answer.entries();
  if (only === undefined || others.length > 0) {
    throw answer.error(`has neither the scores '${scores.name}' nor exactly one output with the number of the class`);
  }
  const [name, label] = only;
  return Array.from(readNumbers(readRow(label, { name, datatype: "INT32", dims: labelDims(label) })));
}

/** As many whole numbers as are listed. */
function labelDims(field: JsonField): number[] {
  const content = Array.isArray(field.value) ? field : field.get("content");
  return [content.items().length];
}

function argmax(numbers: ArrayLike<number>, start: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) {
    if ((numbers[start + i] as number) > (numbers[start + best] as number)) best = i; // both within the row
  }
  return best;
}
