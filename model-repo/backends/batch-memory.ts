/** A batch's way into one buffer and out again: pure functions around the one copy of DESIGN's data path. */
import type { DataType } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import { splitTensor, type Tensor } from "../../proto/tensor.ts";
import type { InputPlace, OutputData } from "./instance-protocol.ts";

/** An input or output of the configuration as an instance handles it. */
export interface BoundTensor {
  readonly name: string;
  readonly datatype: DataType;
  /** The client's shape without the batch dimension; -1 is any size. */
  readonly dims: readonly number[];
  /** The model's shape where the configuration reshapes; as many -1 as `dims`. */
  readonly reshape: readonly number[] | undefined;
}

export interface GatheredBatch {
  readonly buffer: ArrayBuffer;
  readonly places: InputPlace[];
  /** Batch size of each request; empty for a model without batching. */
  readonly rows: readonly number[];
}

/** Tensors start at multiples of this in the buffer, for every element type and for vector loads. */
const ALIGNMENT = 64;

/**
 * Copies the inputs of all requests, joined along the first dimension where the model batches, into one buffer: `spare`
 * where it is large enough and not wasteful, else fresh memory. Inputs that the first request leaves out are left out.
 */
export function gatherBatch(
  requests: readonly InferenceRequest[],
  inputs: readonly BoundTensor[],
  batches: boolean,
  spare: ArrayBuffer | undefined,
): GatheredBatch {
  const parts: { input: BoundTensor; tensors: Tensor[]; byteOffset: number; byteLength: number }[] = [];
  let total = 0;
  for (const input of inputs) {
    const tensors: Tensor[] = [];
    let byteLength = 0;
    for (const request of requests) {
      const tensor = tensorNamed(request.inputs, input.name);
      if (tensor === undefined) continue;
      tensors.push(tensor);
      byteLength += tensor.data.byteLength;
    }
    if (tensors.length === 0) continue;
    parts.push({ input, tensors, byteOffset: total, byteLength });
    total = Math.ceil((total + byteLength) / ALIGNMENT) * ALIGNMENT;
  }
  const buffer = reusable(spare, total) ?? new ArrayBuffer(capacityFor(total));
  const bytes = new Uint8Array(buffer);
  const rows = batches ? requests.map((request) => request.inputs[0]?.shape[0] ?? 1) : [];
  const batchSize = rows.reduce((sum, count) => sum + count, 0);
  const places = parts.map(({ input, tensors, byteOffset, byteLength }) => {
    let offset = byteOffset;
    for (const tensor of tensors) {
      bytes.set(tensor.data, offset);
      offset += tensor.data.byteLength;
    }
    const shape = tensors[0]?.shape ?? [];
    const item = reshaped(batches ? shape.slice(1) : shape, input.dims, input.reshape);
    return { name: input.name, dims: batches ? [batchSize, ...item] : item, byteOffset, byteLength };
  });
  return { buffer, places, rows };
}

/**
 * Hands each request its rows of every output, as views. Throws where the model gave other shapes than the
 * configuration says, or too few rows (Triton's text, backend_output_responder.cc:100).
 */
export function scatterBatch(
  model: string,
  requestCount: number,
  rows: readonly number[],
  outputs: readonly BoundTensor[],
  results: readonly OutputData[],
): Tensor[][] {
  const batches = rows.length > 0;
  const batchSize = rows.reduce((sum, count) => sum + count, 0);
  const perRequest: Tensor[][] = Array.from({ length: requestCount }, () => []);
  outputs.forEach((output, i) => {
    const result = results[i];
    if (result === undefined) throw new InferenceError("INTERNAL", `model '${model}' gave no output '${output.name}'`);
    const { name, datatype } = output;
    const data = new Uint8Array(result.data);
    const first = result.dims[0];
    if (batches && (first === undefined || first < batchSize)) throw tooFewRows(name, batchSize, first);
    const item = batches ? result.dims.slice(1) : result.dims;
    checkDims(model, output, item);
    const shape = reshaped(item, output.reshape ?? output.dims, output.reshape && output.dims);
    if (!batches) {
      perRequest[0]?.push({ name, datatype, shape, data });
    } else if (requestCount === 1 && first === batchSize) {
      perRequest[0]?.push({ name, datatype, shape: [batchSize, ...shape], data });
    } else {
      const whole = { name, datatype, shape: [first ?? 0, ...shape], data };
      splitTensor(whole, rows).forEach((tensor, request) => {
        perRequest[request]?.push(tensor);
      });
    }
  });
  return perRequest;
}

/**
 * A shape of the form `from` in the form `to`: fixed dimensions are `to`'s, its nth -1 takes the size that `from`'s nth
 * -1 has in `shape`. Unchanged without `to`.
 */
export function reshaped(
  shape: readonly number[],
  from: readonly number[],
  to: readonly number[] | undefined,
): number[] {
  if (to === undefined) return [...shape];
  const sizes = shape.filter((_, i) => from[i] === -1);
  let next = 0;
  return to.map((dim) => (dim === -1 ? (sizes[next++] ?? 1) : dim));
}

function tensorNamed(tensors: readonly Tensor[], name: string): Tensor | undefined {
  for (const tensor of tensors) if (tensor.name === name) return tensor;
  return undefined;
}

function reusable(spare: ArrayBuffer | undefined, byteLength: number): ArrayBuffer | undefined {
  if (spare === undefined || spare.byteLength < byteLength) return undefined;
  return spare.byteLength <= 8 * capacityFor(byteLength) ? spare : undefined;
}

/** Room for batches that grow a little: an eighth of the power of two below, so at most an eighth is unused. */
function capacityFor(byteLength: number): number {
  const step = Math.max(4096, 2 ** (Math.floor(Math.log2(Math.max(1, byteLength))) - 3));
  return Math.ceil(byteLength / step) * step;
}

function checkDims(model: string, output: BoundTensor, actual: readonly number[]): void {
  const expected = output.reshape ?? output.dims;
  if (expected.length === actual.length && expected.every((dim, i) => dim === -1 || dim === actual[i])) return;
  throw new InferenceError(
    "INTERNAL",
    `unexpected shape for output '${output.name}' for model '${model}'. Expected [${expected}], got [${actual}]`,
  );
}

function tooFewRows(output: string, expected: number, got: number | undefined): InferenceError {
  return new InferenceError(
    "UNIMPLEMENTED",
    `failed to split the output tensor '${output}' in responses: expected batch size of at least ${expected} in model ` +
      `output, got ${got ?? "a scalar"}`,
  );
}
