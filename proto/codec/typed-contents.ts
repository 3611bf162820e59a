/**
 * Typed tensor contents (`inference.InferTensorContents`) to raw little-endian bytes, straight from the wire: elements
 * are counted first, then written into one allocation; no object per element. Work is linear in the bytes.
 */
import { type DataType, ELEMENT_BYTES } from "../datatypes.ts";
import { FIXED32, FIXED64, LENGTH_DELIMITED, type ReaderOptions, VARINT, WireReader } from "../wire/reader.ts";

/** Field numbers of `InferTensorContents`, which are also the order in which Triton looks at them. */
const BOOL_CONTENTS = 1;
const INT_CONTENTS = 2;
const INT64_CONTENTS = 3;
const UINT_CONTENTS = 4;
const UINT64_CONTENTS = 5;
const FP32_CONTENTS = 6;
const FP64_CONTENTS = 7;
const BYTES_CONTENTS = 8;
const FIELDS = 8;

/** Wire type of an element outside a packed field, by field number. */
const ELEMENT_WIRE_TYPE = [-1, VARINT, VARINT, VARINT, VARINT, VARINT, FIXED32, FIXED64, LENGTH_DELIMITED];

/**
 * The datatype that a field carries in a tensor declared as `declared`. int_contents and uint_contents carry the small
 * integers too where those are declared; FP16 and BF16 are carried by no field.
 */
export function contentsDatatype(field: number, declared: string): DataType {
  switch (field) {
    case BOOL_CONTENTS:
      return "BOOL";
    case INT_CONTENTS:
      return declared === "INT8" || declared === "INT16" ? declared : "INT32";
    case INT64_CONTENTS:
      return "INT64";
    case UINT_CONTENTS:
      return declared === "UINT8" || declared === "UINT16" ? declared : "UINT32";
    case UINT64_CONTENTS:
      return "UINT64";
    case FP32_CONTENTS:
      return "FP32";
    case FP64_CONTENTS:
      return "FP64";
    default:
      return "BYTES";
  }
}

/** The contents of one tensor, counted but not yet converted. */
export interface CountedContents {
  readonly pieces: readonly Uint8Array[];
  /** Elements by field number; index 0 is unused. */
  readonly counts: readonly number[];
  /** Bytes of all elements of bytes_contents, without length prefixes. */
  readonly bytesContentsBytes: number;
  /** What the contents are and the code of the error when they turn out to be malformed. */
  readonly options: ReaderOptions;
}

/** Counts the elements of every field. Throws the InferenceError of `options` for malformed contents. */
export function countContents(pieces: readonly Uint8Array[], options: ReaderOptions): CountedContents {
  const counts = new Array<number>(FIELDS + 1).fill(0);
  let bytesContentsBytes = 0;
  for (const piece of pieces) {
    const reader = new WireReader(piece, options);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      const field = tag >>> 3;
      const wireType = tag & 7;
      if (field > FIELDS) reader.skip(tag);
      else if (wireType === ELEMENT_WIRE_TYPE[field]) {
        const start = reader.position;
        reader.skip(tag);
        counts[field] = (counts[field] ?? 0) + 1;
        if (field === BYTES_CONTENTS) bytesContentsBytes += elementLength(reader, start);
      } else if (wireType === LENGTH_DELIMITED) counts[field] = (counts[field] ?? 0) + countPacked(reader, field);
      else reader.skip(tag);
    }
  }
  return { pieces, counts, bytesContentsBytes, options };
}

/**
 * The elements of one field as raw bytes of `datatype`, which belongs to that field: integers keep their low bits, as
 * in Triton. A view where the wire already has the layout, else a copy.
 */
export function contentsToRaw(contents: CountedContents, field: number, datatype: DataType): Uint8Array {
  const count = contents.counts[field] ?? 0;
  switch (field) {
    case BYTES_CONTENTS:
      return packBytes(contents, count);
    case FP32_CONTENTS:
    case FP64_CONTENTS:
      return packFixed(contents, field, count * ELEMENT_BYTES[datatype]);
    default:
      return packIntegers(contents, field, count, ELEMENT_BYTES[datatype]);
  }
}

/** Bytes of the length-delimited element that starts at `start` and that the reader just stepped over. */
function elementLength(reader: WireReader, start: number): number {
  const after = reader.position;
  reader.position = start;
  const length = reader.length();
  reader.position = after;
  return length;
}

function countPacked(reader: WireReader, field: number): number {
  const length = reader.length();
  const start = reader.position;
  reader.position += length;
  if (field === FP32_CONTENTS || field === FP64_CONTENTS) {
    const count = length / (field === FP32_CONTENTS ? 4 : 8);
    if (!Number.isInteger(count)) throw reader.malformed("packed numbers are cut off");
    return count;
  }
  const { bytes } = reader;
  let count = 0;
  // In bounds: length() checked. A varint ends at its first byte below 0x80.
  for (let i = start; i < reader.position; i++) if ((bytes[i] as number) < 0x80) count++;
  if (length > 0 && (bytes[reader.position - 1] as number) >= 0x80) throw reader.malformed("a varint is cut off");
  return count;
}

/** bool, int32, int64, uint32 and uint64 contents: varints on the wire, 1, 2, 4 or 8 bytes in the tensor. */
function packIntegers(contents: CountedContents, field: number, count: number, elementBytes: number): Uint8Array {
  const raw = new Uint8Array(count * elementBytes);
  const view = new DataView(raw.buffer);
  const packed = (field << 3) | LENGTH_DELIMITED;
  const single = (field << 3) | VARINT;
  let offset = 0;
  for (const piece of contents.pieces) {
    const reader = new WireReader(piece, contents.options);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === packed) {
        const outer = reader.enter();
        while (reader.position < reader.end) {
          storeInteger(reader, field, view, offset, elementBytes);
          offset += elementBytes;
        }
        reader.leave(outer);
      } else if (tag === single) {
        storeInteger(reader, field, view, offset, elementBytes);
        offset += elementBytes;
      } else reader.skip(tag);
    }
  }
  return raw;
}

function storeInteger(reader: WireReader, field: number, view: DataView, offset: number, elementBytes: number): void {
  reader.readVarint();
  const low = field === BOOL_CONTENTS ? Number(reader.low !== 0 || reader.high !== 0) : reader.low;
  switch (elementBytes) {
    case 1:
      view.setUint8(offset, low);
      return;
    case 2:
      view.setUint16(offset, low, true);
      return;
    case 4:
      view.setUint32(offset, low, true);
      return;
    default:
      view.setUint32(offset, low, true);
      view.setUint32(offset + 4, reader.high, true);
  }
}

/** fp32 and fp64 contents have the tensor's layout on the wire already: one packed run, the usual case, stays a view. */
function packFixed(contents: CountedContents, field: number, byteLength: number): Uint8Array {
  const packed = (field << 3) | LENGTH_DELIMITED;
  const single = (field << 3) | (field === FP32_CONTENTS ? FIXED32 : FIXED64);
  const elementBytes = field === FP32_CONTENTS ? 4 : 8;
  let raw: Uint8Array | undefined;
  let offset = 0;
  for (const piece of contents.pieces) {
    const reader = new WireReader(piece, contents.options);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== packed && tag !== single) {
        reader.skip(tag);
        continue;
      }
      const length = tag === packed ? reader.length() : elementBytes;
      const start = reader.bytes.byteOffset + reader.position;
      const run = new Uint8Array(reader.bytes.buffer, start, length);
      if (length === byteLength) return run;
      raw ??= new Uint8Array(byteLength);
      raw.set(run, offset);
      offset += length;
      reader.position += length;
    }
  }
  return raw ?? new Uint8Array(0);
}

/** bytes_contents: every element behind its length as 4 bytes. */
function packBytes(contents: CountedContents, count: number): Uint8Array {
  const raw = new Uint8Array(count * 4 + contents.bytesContentsBytes);
  const view = new DataView(raw.buffer);
  const element = (BYTES_CONTENTS << 3) | LENGTH_DELIMITED;
  let offset = 0;
  for (const piece of contents.pieces) {
    const reader = new WireReader(piece, contents.options);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== element) {
        reader.skip(tag);
        continue;
      }
      const length = reader.length();
      view.setUint32(offset, length, true);
      offset += 4;
      copy(reader.bytes, reader.position, length, raw, offset);
      offset += length;
      reader.position += length;
    }
  }
  return raw;
}

/** Short elements are the rule and byte by byte they cost less than a view and a call. */
function copy(source: Uint8Array, start: number, length: number, target: Uint8Array, offset: number): void {
  if (length > 32) {
    target.set(source.subarray(start, start + length), offset);
    return;
  }
  for (let i = 0; i < length; i++) target[offset + i] = source[start + i] as number;
}
