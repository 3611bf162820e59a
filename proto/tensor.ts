/** Tensors as raw little-endian bytes, the protocol's own layout, everywhere. */
import { type DataType, ELEMENT_BYTES } from "./datatypes.ts";
import { InferenceError } from "./errors.ts";

/** A named tensor. `data` may be an unaligned view on a larger buffer: copy before viewing it as numbers. */
export interface Tensor {
  readonly name: string;
  readonly datatype: DataType;
  readonly shape: readonly number[];
  /** Row-major elements; BYTES elements are a 4-byte little-endian length and that many bytes each. */
  readonly data: Uint8Array;
}

/** Product of the dimensions; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const dim of shape) count *= dim;
  return count;
}

/**
 * Joins tensors along the first dimension into fresh memory: the one copy of a request's way to its batch.
 * All parts share datatype and trailing dimensions. Length-prefixed BYTES elements join like any other bytes.
 */
export function concatTensors(parts: readonly Tensor[]): Tensor {
  const first = parts[0];
  if (first === undefined) throw new InferenceError("INTERNAL", "no tensors to join");
  let rows = 0;
  let bytes = 0;
  for (const part of parts) {
    rows += part.shape[0] ?? 1;
    bytes += part.data.byteLength;
  }
  const data = new Uint8Array(bytes);
  let offset = 0;
  for (const part of parts) {
    data.set(part.data, offset);
    offset += part.data.byteLength;
  }
  return { name: first.name, datatype: first.datatype, shape: [rows, ...first.shape.slice(1)], data };
}

/** Cuts a tensor along the first dimension into views of `sizes` rows each (their sum is the first dimension). */
export function splitTensor(tensor: Tensor, sizes: readonly number[]): Tensor[] {
  const offsets = rowOffsets(tensor);
  const trailing = tensor.shape.slice(1);
  let row = 0;
  return sizes.map((size) => {
    const data = tensor.data.subarray(offsets(row), offsets(row + size));
    row += size;
    return { name: tensor.name, datatype: tensor.datatype, shape: [size, ...trailing], data };
  });
}

/** Sizes of the chunks, at most `most` rows each, that `rows` rows are cut into; for `splitTensor`. */
export function chunkSizes(rows: number, most: number): number[] {
  const sizes: number[] = [];
  for (let left = rows; left > 0; left -= most) sizes.push(Math.min(most, left));
  return sizes;
}

/** The named rows of a tensor in that order; a view where they are contiguous, else a copy. */
export function gatherRows(tensor: Tensor, rows: readonly number[]): Tensor {
  const offsets = rowOffsets(tensor);
  const shape = [rows.length, ...tensor.shape.slice(1)];
  const first = rows[0] ?? 0;
  if (rows.every((row, i) => row === first + i)) {
    const data = tensor.data.subarray(offsets(first), offsets(first + rows.length));
    return { name: tensor.name, datatype: tensor.datatype, shape, data };
  }
  const bytes = rows.reduce((sum, row) => sum + offsets(row + 1) - offsets(row), 0);
  const data = new Uint8Array(bytes);
  let offset = 0;
  for (const row of rows) {
    const part = tensor.data.subarray(offsets(row), offsets(row + 1));
    data.set(part, offset);
    offset += part.byteLength;
  }
  return { name: tensor.name, datatype: tensor.datatype, shape, data };
}

/** Byte offset of a row's start: arithmetic for fixed-size elements, one walk over the lengths for BYTES. */
function rowOffsets(tensor: Tensor): (row: number) => number {
  const elementsPerRow = elementCount(tensor.shape.slice(1));
  const elementBytes = ELEMENT_BYTES[tensor.datatype];
  if (elementBytes > 0) return (row) => row * elementsPerRow * elementBytes;
  const view = new DataView(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
  const starts = [0];
  let offset = 0;
  for (let row = 0; row < (tensor.shape[0] ?? 1); row++) {
    for (let i = 0; i < elementsPerRow; i++) offset += 4 + view.getUint32(offset, true);
    starts.push(offset);
  }
  return (row) => starts[row] ?? offset;
}
