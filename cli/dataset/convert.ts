/** Elements from the datatype that a file has to the one that an input wants. */
import { type DataType, ELEMENT_BYTES } from "../../proto/datatypes.ts";
import type { NpyArray } from "../../proto/files/npy.ts";
import { halfToNumber } from "../../scheduler/confidence/floats.ts";
import { badData, MAX_DATASET_BYTES } from "./dataset.ts";

const FLOATS: readonly DataType[] = ["FP16", "FP32", "FP64"];

/** Smallest and largest value of the datatypes that hold whole numbers (as far as a number holds them). */
const WHOLE_RANGES: Partial<Record<DataType, readonly [number, number]>> = {
  BOOL: [0, 1],
  UINT8: [0, 0xff],
  UINT16: [0, 0xffff],
  UINT32: [0, 0xffffffff],
  UINT64: [0, Number.MAX_SAFE_INTEGER],
  INT8: [-0x80, 0x7f],
  INT16: [-0x8000, 0x7fff],
  INT32: [-0x80000000, 0x7fffffff],
  INT64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

export function isFloat(datatype: DataType): boolean {
  return FLOATS.includes(datatype);
}

export function isWhole(datatype: DataType): boolean {
  return WHOLE_RANGES[datatype] !== undefined;
}

/**
 * The array's elements as `datatype`; the very bytes where nothing changes. Whole numbers become floating-point ones
 * times `scale`; floating-point numbers are rounded to the nearest; whole numbers must fit. Throws INVALID_ARGUMENT for
 * everything that would lose what the data mean; `where` names the array.
 */
export function convertElements(array: NpyArray, datatype: DataType, scale: number, where: string): Uint8Array {
  const from = array.datatype;
  if (from === datatype && (scale === 1 || isFloat(from))) return array.data;
  if (isFloat(datatype) && (isFloat(from) || isWhole(from))) {
    const bytes = (array.data.byteLength / ELEMENT_BYTES[from]) * ELEMENT_BYTES[datatype];
    if (bytes > MAX_DATASET_BYTES) throw badData(`${where} would take ${bytes} bytes as ${datatype}; use fewer rows`);
    return fromNumbers(readNumbers(array), datatype, isFloat(from) ? 1 : scale);
  }
  if (scale !== 1 && isWhole(datatype)) {
    throw badData(`${where}: the input is ${datatype}, which --scale=${scale} cannot be applied to`);
  }
  if (!isWhole(datatype) || !isWhole(from)) {
    throw badData(`${where} is ${from}, which cannot be converted to the input's ${datatype}`);
  }
  const numbers = readNumbers(array);
  const perRow = numbers.length / Math.max(1, array.shape[0] ?? 1);
  const bad = firstUnfit(numbers, datatype);
  if (bad >= 0) {
    const row = Math.floor(bad / perRow);
    throw badData(`${where}, row ${row}: ${numbers[bad]} does not fit into the input's ${datatype}`);
  }
  return fromNumbers(numbers, datatype, 1);
}

/** Index of the first number that a datatype of whole numbers cannot hold, -1 where all fit or it is none of those. */
export function firstUnfit(numbers: ArrayLike<number>, datatype: DataType): number {
  const range = WHOLE_RANGES[datatype];
  if (range === undefined) return -1;
  const [least, most] = range;
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i] as number; // i is within
    if (!Number.isInteger(value) || value < least || value > most) return i;
  }
  return -1;
}

/** The elements of an array of numbers; 64-bit ones as the nearest number, BOOL as 0 and 1. */
export function readNumbers({ datatype, data }: Pick<NpyArray, "datatype" | "data">): ArrayLike<number> {
  switch (datatype) {
    case "BOOL":
    case "UINT8":
      return data;
    case "INT8":
      return new Int8Array(...aligned(data, 1));
    case "UINT16":
      return new Uint16Array(...aligned(data, 2));
    case "INT16":
      return new Int16Array(...aligned(data, 2));
    case "UINT32":
      return new Uint32Array(...aligned(data, 4));
    case "INT32":
      return new Int32Array(...aligned(data, 4));
    case "UINT64":
      return Float64Array.from(new BigUint64Array(...aligned(data, 8)), Number);
    case "INT64":
      return Float64Array.from(new BigInt64Array(...aligned(data, 8)), Number);
    case "FP16":
      return Float32Array.from(new Uint16Array(...aligned(data, 2)), halfToNumber);
    case "FP32":
      return new Float32Array(...aligned(data, 4));
    case "FP64":
      return new Float64Array(...aligned(data, 8));
    default:
      throw badData(`elements of datatype ${datatype} are no numbers`);
  }
}

/** Numbers times `scale` as the bytes of a tensor. Values must fit; throws INVALID_ARGUMENT for BYTES and BF16. */
export function fromNumbers(numbers: ArrayLike<number>, datatype: DataType, scale: number): Uint8Array {
  const bytes = new Uint8Array(numbers.length * ELEMENT_BYTES[datatype]);
  const target = writable(bytes, datatype);
  for (let i = 0; i < numbers.length; i++) target(i, (numbers[i] as number) * scale); // i is within
  return bytes;
}

function writable(bytes: Uint8Array<ArrayBuffer>, datatype: DataType): (index: number, value: number) => void {
  const view = new DataView(bytes.buffer);
  switch (datatype) {
    case "FP64":
      return (i, value) => view.setFloat64(8 * i, value, true);
    case "FP32":
      return (i, value) => view.setFloat32(4 * i, value, true);
    case "FP16":
      return (i, value) => view.setUint16(2 * i, numberToHalf(value), true);
    case "INT64":
    case "UINT64":
      return (i, value) => view.setBigInt64(8 * i, BigInt(value), true);
    case "INT32":
    case "UINT32":
      return (i, value) => view.setInt32(4 * i, value, true);
    case "INT16":
    case "UINT16":
      return (i, value) => view.setInt16(2 * i, value, true);
    case "INT8":
    case "UINT8":
    case "BOOL":
      return (i, value) => view.setInt8(i, value);
    default:
      throw badData(`numbers cannot be written as datatype ${datatype}`);
  }
}

/** The nearest IEEE 754 binary16, ties to even, as its bits. */
export function numberToHalf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00; // nearer to 2^16 than to the largest half
  if (size < 2 ** -14) return sign | roundToEven(size * 2 ** 24);
  let exponent = Math.floor(Math.log2(size));
  if (2 ** exponent > size)
    exponent -= 1; // log2 rounds
  else if (2 ** (exponent + 1) <= size) exponent += 1;
  // A fraction that rounds up to 1024 carries into the exponent, as it should.
  return sign | (((exponent + 15) << 10) + roundToEven((size / 2 ** exponent - 1) * 1024));
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

function aligned(data: Uint8Array, elementBytes: number): [ArrayBufferLike, number, number] {
  const bytes = data.byteOffset % elementBytes === 0 ? data : new Uint8Array(data); // a Buffer's slice is no copy
  return [bytes.buffer, bytes.byteOffset, Math.floor(bytes.byteLength / elementBytes)];
}
