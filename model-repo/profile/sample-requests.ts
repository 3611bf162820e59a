/** Requests that a profile runs: rows of a data set, or random rows in the datatypes of the inputs. */
import { type DataType, ELEMENT_BYTES } from "../../proto/datatypes.ts";
import { assertNever, InferenceError } from "../../proto/errors.ts";
import { type InferenceRequest, NO_PARAMETERS } from "../../proto/inference.ts";
import { chunkSizes, elementCount, splitTensor, type Tensor } from "../../proto/tensor.ts";
import { type ModelSignature, type TensorSpec, wireShape } from "../../scheduler/signature.ts";

export interface RandomInputs {
  /** Sizes of free dimensions, by input: dims without the batch. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly random: () => number;
}

/** Words of a sentence, for inputs of strings. */
const WORDS = 6;

/**
 * `rows` rows of random values for every input that must be there. Whole numbers wider than a byte are 0 or 1: ids, masks
 * and token types of any model. Throws INVALID_ARGUMENT for a free dimension without a size.
 */
export function randomRows(signature: ModelSignature, rows: number, inputs: RandomInputs): Tensor[] {
  return signature.inputs
    .filter((spec) => spec.optional !== true)
    .map((spec) => {
      const dims = fixedDims(signature.name, spec, inputs.shapes);
      const shape = signature.maxBatchSize > 0 ? [rows, ...dims] : dims;
      const data = randomElements(spec.datatype, elementCount(shape), inputs.random);
      return { name: spec.name, datatype: spec.datatype, shape, data };
    });
}

/** The dims of an input; what is free takes the given size. */
export function fixedDims(
  model: string,
  { name, dims }: TensorSpec,
  shapes: ReadonlyMap<string, readonly number[]>,
): readonly number[] {
  const given = shapes.get(name);
  const fits = given?.length === dims.length && dims.every((dim, i) => dim === -1 || dim === given[i]);
  if (given !== undefined && !fits) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `model '${model}', input '${name}': --shape gives [${given}], the model has [${dims}] (-1: any)`,
    );
  }
  if (given !== undefined || dims.every((dim) => dim >= 0)) return given ?? dims;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `model '${model}', input '${name}' has free dimensions [${dims}]: give sizes with ` +
      `--shape ${name}:${dims.map((dim) => (dim < 0 ? 128 : dim)).join(",")}, or real rows with --data FILE.npz`,
  );
}

/**
 * Cuts rows into batches as the server sees them: `batchSize` requests of a row each. Rows go round where they are fewer.
 * A model that does not batch gets its one request.
 */
export function toBatches(
  signature: ModelSignature,
  rows: readonly Tensor[],
  batchSize: number,
  batches: number,
): InferenceRequest[][] {
  if (signature.maxBatchSize === 0) return Array.from({ length: batches }, () => [request(signature, rows)]);
  const count = rows[0]?.shape[0] ?? 1;
  const split = rows.map((tensor) => splitTensor(tensor, chunkSizes(count, 1)));
  return Array.from({ length: batches }, (_, batch) =>
    Array.from({ length: batchSize }, (_row, i) =>
      request(
        signature,
        split.map((parts) => parts[(batch * batchSize + i) % count] as Tensor), // one part a row
      ),
    ),
  );
}

/** Bytes of one row over the tensors; of a model that does not batch all is one row. */
export function bytesPerRow(tensors: readonly Tensor[], maxBatchSize: number): number {
  const bytes = tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
  return maxBatchSize === 0 ? bytes : bytes / Math.max(1, tensors[0]?.shape[0] ?? 1);
}

/** A tensor of the data set must be one row after another of what the model takes. */
export function checkRows(signature: ModelSignature, spec: TensorSpec, { shape, datatype }: Tensor): void {
  const wanted = wireShape(signature, spec);
  const fits = shape.length === wanted.length && wanted.every((dim, i) => dim === -1 || dim === shape[i]);
  if (fits && datatype === spec.datatype && shape[0] !== 0) return;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `model '${signature.name}', input '${spec.name}': the data are ${datatype} [${shape}], the model takes ` +
      `${spec.datatype} [${wanted}] (-1: any)`,
  );
}

function request(signature: ModelSignature, inputs: readonly Tensor[]): InferenceRequest {
  return {
    modelName: signature.name,
    modelVersion: signature.version,
    id: "",
    parameters: NO_PARAMETERS,
    inputs,
    requestedOutputs: [],
  };
}

function randomElements(datatype: DataType, count: number, random: () => number): Uint8Array {
  if (datatype === "BYTES") return randomTexts(count, random);
  const bytes = new Uint8Array(count * ELEMENT_BYTES[datatype]);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) writeElement(view, datatype, i, random());
  return bytes;
}

/** `value` from 0 to below 1. Floats lie between -1 and 1, bytes anywhere, wider whole numbers are 0 or 1. */
function writeElement(view: DataView, datatype: Exclude<DataType, "BYTES">, i: number, value: number): void {
  const bit = value < 0.5 ? 0 : 1;
  switch (datatype) {
    case "BOOL":
      view.setUint8(i, bit);
      return;
    case "UINT8":
    case "INT8":
      view.setUint8(i, Math.floor(value * 256));
      return;
    case "UINT16":
    case "INT16":
      view.setUint16(i * 2, bit, true);
      return;
    case "UINT32":
    case "INT32":
      view.setUint32(i * 4, bit, true);
      return;
    case "UINT64":
    case "INT64":
      view.setBigUint64(i * 8, BigInt(bit), true);
      return;
    case "FP16":
      // Sign, exponents of 1/8 to below 1, any fraction.
      view.setUint16(i * 2, (bit << 15) | ((12 + Math.floor(value * 3)) << 10) | ((value * 65_536) & 0x3ff), true);
      return;
    case "BF16":
      view.setUint16(i * 2, (bit << 15) | ((124 + Math.floor(value * 3)) << 7) | ((value * 65_536) & 0x7f), true);
      return;
    case "FP32":
      view.setFloat32(i * 4, value * 2 - 1, true);
      return;
    case "FP64":
      view.setFloat64(i * 8, value * 2 - 1, true);
      return;
    default:
      assertNever(datatype);
  }
}

function randomTexts(count: number, random: () => number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const words = Array.from({ length: WORDS }, () => Math.floor(random() * 1e6).toString(36));
    const text = new TextEncoder().encode(words.join(" "));
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, text.byteLength, true);
    parts.push(length, text);
  }
  return new Uint8Array(Buffer.concat(parts));
}
