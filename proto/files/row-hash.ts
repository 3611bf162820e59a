/** Hashes of data: they split rows, name cached outputs and stand in certificates. */
import { createHash } from "node:crypto";
import { ELEMENT_BYTES } from "../datatypes.ts";
import { elementCount, splitTensor, type Tensor } from "../tensor.ts";

/**
 * SHA-256, in hex, of each row: its bytes in every tensor, tensors in order of their names. Equal rows have equal
 * hashes. All tensors have the same first dimension.
 */
export function rowHashes(tensors: readonly Tensor[]): string[] {
  const rowsOf = byName(tensors).map(rowReader);
  const rows = tensors[0]?.shape[0] ?? 0;
  return Array.from({ length: rows }, (_, row) => {
    const hash = createHash("sha256");
    for (const read of rowsOf) hash.update(read(row));
    return hash.digest("hex");
  });
}

/** SHA-256, in hex, of whole tensors with their names, datatypes and shapes; their order does not matter. */
export function datasetHash(tensors: readonly Tensor[]): string {
  const hash = createHash("sha256");
  for (const { name, datatype, shape, data } of byName(tensors)) {
    hash.update(`${JSON.stringify([name, datatype, shape, data.byteLength])}\n`).update(data);
  }
  return hash.digest("hex");
}

/** By code units, so that no locale decides. */
function byName(tensors: readonly Tensor[]): Tensor[] {
  return [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The bytes of a row: arithmetic for fixed-size elements, one walk over the tensor for BYTES. */
function rowReader(tensor: Tensor): (row: number) => Uint8Array {
  const { datatype, shape, data } = tensor;
  if (ELEMENT_BYTES[datatype] === 0) {
    const parts = splitTensor(tensor, new Array<number>(shape[0] ?? 0).fill(1));
    return (row) => parts[row]?.data ?? new Uint8Array();
  }
  const rowBytes = elementCount(shape.slice(1)) * ELEMENT_BYTES[datatype];
  return (row) => data.subarray(row * rowBytes, (row + 1) * rowBytes);
}
