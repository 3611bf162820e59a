/** NumPy's array file (.npy, versions 1 to 3): a header in Python's notation, then the elements. */
import { type DataType, ELEMENT_BYTES } from "../datatypes.ts";
import { InferenceError } from "../errors.ts";
import { elementCount } from "../tensor.ts";
import { numpyStrings } from "./npy-strings.ts";

/** An array as little-endian row-major bytes; BYTES elements are length-prefixed, as in a tensor. */
export interface NpyArray {
  readonly datatype: DataType;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
/** More than any array of numbers has; bounds what reading a hostile header costs. */
const MAX_HEADER_BYTES = 4096;
const MAX_DIMS = 16;
/** The elements begin at a multiple of this, as NumPy writes them. */
const ALIGNMENT = 64;

/** Kind and size in a dtype -> our datatype. */
const DATATYPES: Readonly<Record<string, DataType>> = {
  b1: "BOOL",
  u1: "UINT8",
  u2: "UINT16",
  u4: "UINT32",
  u8: "UINT64",
  i1: "INT8",
  i2: "INT16",
  i4: "INT32",
  i8: "INT64",
  f2: "FP16",
  f4: "FP32",
  f8: "FP64",
};

/** What a header says; `itemBytes` is the size of one element in the file. */
interface Header {
  readonly littleEndian: boolean;
  /** `f4`, `U12`, ... */
  readonly type: string;
  readonly itemBytes: number;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
}

/**
 * Reads one array. Big-endian and Fortran-ordered elements are put in our order; strings (`<U`, `|S`) become BYTES.
 * `data` is a view on `file` where nothing had to be changed. Throws INVALID_ARGUMENT; `where` names the array.
 */
export function readNpy(file: Uint8Array, where: string): NpyArray {
  // Never a Buffer, whose slice() is no copy.
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
  const { text, end } = headerText(bytes, where);
  const header = parseHeader(text, where);
  const count = elementCount(header.shape);
  const expectedBytes = count * header.itemBytes;
  const found = bytes.byteLength - end;
  if (found !== expectedBytes) {
    throw refused(where, `holds ${found} bytes of elements, expected ${expectedBytes} for shape [${header.shape}]`);
  }
  const data = inOurOrder(bytes.subarray(end), header);
  const datatype = DATATYPES[header.type];
  if (datatype !== undefined) return { datatype, shape: header.shape, data };
  return { datatype: "BYTES", shape: header.shape, data: numpyStrings(data, header.type, header.itemBytes, where) };
}

/** One array as a .npy file of version 1. Throws INVALID_ARGUMENT for BYTES and BF16, which NumPy has no dtype for. */
export function writeNpy(array: NpyArray, where: string): Uint8Array {
  const type = Object.keys(DATATYPES).find((key) => DATATYPES[key] === array.datatype);
  if (type === undefined) throw refused(where, `has datatype ${array.datatype}, which a .npy file cannot hold`);
  const expectedBytes = elementCount(array.shape) * ELEMENT_BYTES[array.datatype];
  if (array.data.byteLength !== expectedBytes) {
    throw refused(where, `has ${array.data.byteLength} bytes, expected ${expectedBytes} for shape [${array.shape}]`);
  }
  const shape = array.shape.length === 1 ? `${array.shape[0]},` : array.shape.join(", ");
  const descr = `${type.endsWith("1") ? "|" : "<"}${type}`;
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }`;
  const start = Math.ceil((MAGIC.length + 4 + header.length + 1) / ALIGNMENT) * ALIGNMENT;
  const bytes = new Uint8Array(start + expectedBytes);
  bytes.set(MAGIC);
  bytes[6] = 1; // version 1.0: two bytes of header length
  new DataView(bytes.buffer).setUint16(8, start - 10, true);
  bytes.set(new TextEncoder().encode(`${header.padEnd(start - 11)}\n`), 10);
  bytes.set(array.data, start);
  return bytes;
}

function headerText(bytes: Uint8Array, where: string): { text: string; end: number } {
  if (bytes.byteLength < 12 || MAGIC.some((byte, i) => bytes[i] !== byte)) throw refused(where, "is not a .npy array");
  const version = bytes[6] ?? 0;
  if (version < 1 || version > 3) throw refused(where, `has .npy version ${version}; known are 1 to 3`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = version === 1 ? 10 : 12;
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MAX_HEADER_BYTES) {
    throw refused(where, `has a header of ${length} bytes (at most ${MAX_HEADER_BYTES}); records are not supported`);
  }
  if (start + length > bytes.byteLength) throw refused(where, "ends within its header");
  return { text: new TextDecoder("latin1").decode(bytes.subarray(start, start + length)), end: start + length };
}

function parseHeader(text: string, where: string): Header {
  const descr = /'descr': '([<>|=])([a-zA-Z])(\d{0,9})'/.exec(text);
  const order = /'fortran_order': (True|False)/.exec(text)?.[1];
  const dims = /'shape': \(([\d, ]*)\)/.exec(text)?.[1];
  if (descr === null) {
    throw refused(where, "has a dtype that is not one number or string an element; records are not supported");
  }
  if (order === undefined || dims === undefined) throw refused(where, "has a header without fortran_order or shape");
  const [, byteOrder = "", kind = "", size = ""] = descr;
  const type = kind + size;
  if (kind === "O") throw refused(where, "holds Python objects (pickled); save numbers, or strings as dtype str");
  if (DATATYPES[type] === undefined && kind !== "U" && kind !== "S") {
    throw refused(where, `has dtype '${byteOrder}${type}'; known are ${Object.keys(DATATYPES).join(", ")}, U and S`);
  }
  const shape = dims.split(",").flatMap((dim) => (dim.trim() === "" ? [] : [Number(dim)]));
  if (shape.length > MAX_DIMS) throw refused(where, `has ${shape.length} dimensions, at most ${MAX_DIMS}`);
  if (!shape.every(Number.isSafeInteger) || !Number.isSafeInteger(elementCount(shape))) {
    throw refused(where, `has shape [${shape}], which is no shape`);
  }
  const littleEndian = byteOrder !== ">";
  const itemBytes = kind === "U" ? 4 * Number(size) : Number(size);
  return { littleEndian, type, itemBytes, fortranOrder: order === "True", shape };
}

/** Little-endian and row-major; the bytes themselves where they already are. */
function inOurOrder(bytes: Uint8Array, { littleEndian, type, itemBytes, fortranOrder, shape }: Header): Uint8Array {
  const wordBytes = type.startsWith("U") ? 4 : type.startsWith("S") ? 1 : itemBytes;
  const ordered = fortranOrder && shape.length > 1 ? toRowMajor(bytes, itemBytes, shape) : bytes;
  if (littleEndian || wordBytes === 1) return ordered;
  const swapped = ordered.slice();
  for (let start = 0; start < swapped.byteLength; start += wordBytes) {
    swapped.subarray(start, start + wordBytes).reverse();
  }
  return swapped;
}

/** From the first dimension varying fastest to the last one doing so. */
function toRowMajor(bytes: Uint8Array, itemBytes: number, shape: readonly number[]): Uint8Array {
  const moved = new Uint8Array(bytes.byteLength);
  const index = shape.map(() => 0);
  const strides: number[] = [];
  let stride = itemBytes;
  for (const dim of shape) {
    strides.push(stride);
    stride *= dim;
  }
  let from = 0;
  for (let to = 0; to < moved.byteLength; to += itemBytes) {
    for (let i = 0; i < itemBytes; i++) moved[to + i] = bytes[from + i] as number; // both have the same length
    for (let dim = shape.length - 1; dim >= 0; dim--) {
      const next = (index[dim] ?? 0) + 1;
      from += strides[dim] ?? 0;
      if (next < (shape[dim] ?? 0)) {
        index[dim] = next;
        break;
      }
      from -= next * (strides[dim] ?? 0);
      index[dim] = 0;
    }
  }
  return moved;
}

function refused(where: string, complaint: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", `${where} ${complaint}`);
}
