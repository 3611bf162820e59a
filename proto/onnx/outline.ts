/**
 * An ONNX file without its weights: the same messages with the bulky fields left out, small enough to parse in one go.
 * Weights are stepped over, not read, so that a file of 2 GB costs a few thousand small reads.
 */
import { InferenceError } from "../errors.ts";
import type { ByteSource } from "./byte-source.ts";
import type { ByteRange } from "./model.ts";

export interface Outline {
  /** A ModelProto. */
  readonly bytes: Buffer;
  /** Where each entry of the main graph's `initializer` lies in the file, in their order. */
  readonly initializers: readonly ByteRange[];
}

/** Which fields of a message hold bulk (left out) and which hold messages with such fields (descended into). */
interface MessageShape {
  readonly bulk: ReadonlySet<number>;
  readonly nested: ReadonlyMap<number, MessageShape>;
}

/** segment, float_data, int32_data, string_data, int64_data, raw_data, double_data, uint64_data, doc_string. */
const TENSOR: MessageShape = { bulk: new Set([3, 4, 5, 6, 7, 9, 10, 11, 12]), nested: new Map() };
/** values, indices. */
const SPARSE_TENSOR: MessageShape = {
  bulk: new Set(),
  nested: new Map([
    [1, TENSOR],
    [2, TENSOR],
  ]),
};
const attributeFields = new Map<number, MessageShape>();
/** floats, ints, strings. */
const ATTRIBUTE: MessageShape = { bulk: new Set([7, 8, 9]), nested: attributeFields };
const NODE: MessageShape = { bulk: new Set(), nested: new Map([[5, ATTRIBUTE]]) };
/** doc_string, value_info, quantization_annotation. */
const GRAPH: MessageShape = {
  bulk: new Set([10, 13, 14]),
  nested: new Map([
    [1, NODE],
    [5, TENSOR],
    [15, SPARSE_TENSOR],
  ]),
};
const FUNCTION: MessageShape = { bulk: new Set([8]), nested: new Map([[7, NODE]]) };
/** doc_string, metadata_props, training_info. */
const MODEL: MessageShape = {
  bulk: new Set([6, 14, 20]),
  nested: new Map([
    [7, GRAPH],
    [25, FUNCTION],
  ]),
};
// t, g, tensors, graphs, sparse_tensor, sparse_tensors: graphs in attributes close the circle.
for (const [field, shape] of [
  [5, TENSOR],
  [6, GRAPH],
  [10, TENSOR],
  [11, GRAPH],
  [22, SPARSE_TENSOR],
  [23, SPARSE_TENSOR],
] as const) {
  attributeFields.set(field, shape);
}

const INITIALIZER_FIELD = 5;
/** Messages up to here are kept whole: reading them is cheaper than looking inside. */
const KEEP_WHOLE_BYTES = 4_096;
/** Bounds on hostile files; real models stay far below. */
export const MAX_FIELDS = 2_000_000;
const MAX_OUTLINE_BYTES = 64 * 1024 * 1024;
/** Deepest nesting of messages; also the bound of whoever parses the outline. */
export const MAX_DEPTH = 100;

/** Reads the outline of a model; INVALID_ARGUMENT where the bytes are no protobuf message. */
export async function readOutline(source: ByteSource): Promise<Outline> {
  const outliner = new Outliner(source);
  const chunks = await outliner.message(0, source.size, MODEL, 0);
  return { bytes: Buffer.concat(chunks), initializers: outliner.initializers };
}

class Outliner {
  readonly initializers: ByteRange[] = [];
  readonly #source: ByteSource;
  #fields = 0;
  #keptBytes = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  async message(start: number, end: number, shape: MessageShape, depth: number): Promise<Buffer[]> {
    if (depth > MAX_DEPTH) throw this.#malformed(`messages are nested deeper than ${MAX_DEPTH}`, start);
    const chunks: Buffer[] = [];
    let position = start;
    // Fields that are kept and adjoin each other are copied as one.
    let keptFrom = start;
    const keepUntil = async (until: number): Promise<void> => {
      if (until === keptFrom) return;
      this.#keptBytes += until - keptFrom;
      if (this.#keptBytes > MAX_OUTLINE_BYTES) {
        throw this.#malformed(`more than ${MAX_OUTLINE_BYTES} bytes of it are not weights`, until);
      }
      chunks.push(await this.#source.read(keptFrom, until - keptFrom));
    };
    while (position < end) {
      // The longest tag and the longest length or value after it.
      const headLength = Math.min(20, end - position);
      // Awaiting costs far more than the field itself, so only where the bytes are not there yet.
      const head = this.#source.peek(position, headLength) ?? (await this.#source.read(position, headLength));
      const field = this.#field(head, position, end);
      const nested = shape.nested.get(field.number);
      if (shape === GRAPH && depth === 1 && field.number === INITIALIZER_FIELD && field.isDelimited) {
        this.initializers.push({ start: field.valueStart, end: field.end });
      }
      if (field.isDelimited && shape.bulk.has(field.number)) {
        await keepUntil(position);
        keptFrom = field.end;
      } else if (field.isDelimited && nested !== undefined && (depth === 0 || bytesOf(field) > KEEP_WHOLE_BYTES)) {
        await keepUntil(position);
        const inner = await this.message(field.valueStart, field.end, nested, depth + 1);
        chunks.push(delimitedHeader(field.number, inner), ...inner);
        keptFrom = field.end;
      }
      position = field.end;
    }
    await keepUntil(end);
    return chunks;
  }

  /** The field at `start`, of which `head` are the first bytes. */
  #field(head: Buffer, start: number, limit: number): Field {
    if (++this.#fields > MAX_FIELDS) throw this.#malformed(`it has more than ${MAX_FIELDS} fields`, start);
    const tag = readVarint(head, 0);
    if (tag === undefined || tag.value < 8 || tag.value > 0xffff_ffff) throw this.#malformed("a tag is wrong", start);
    const number = Math.floor(tag.value / 8);
    const valueStart = start + tag.end;
    const wireType = tag.value % 8;
    if (wireType === 1 || wireType === 5) {
      return this.#checked(
        { number, isDelimited: false, valueStart, end: valueStart + (wireType === 1 ? 8 : 4) },
        limit,
      );
    }
    const value = readVarint(head, tag.end);
    if (value === undefined || (wireType !== 0 && wireType !== 2)) {
      throw this.#malformed(`field ${number} cannot be read`, start);
    }
    const valueEnd = start + value.end;
    if (wireType === 0) return { number, isDelimited: false, valueStart, end: valueEnd };
    return this.#checked({ number, isDelimited: true, valueStart: valueEnd, end: valueEnd + value.value }, limit);
  }

  #checked(field: Field, limit: number): Field {
    if (field.end > limit) throw this.#malformed(`field ${field.number} is cut off`, field.valueStart);
    return field;
  }

  #malformed(what: string, position: number): InferenceError {
    return new InferenceError(
      "INVALID_ARGUMENT",
      `'${this.#source.subject}' is not a valid ONNX model: ${what} (near byte ${position})`,
    );
  }
}

interface Field {
  readonly number: number;
  readonly isDelimited: boolean;
  readonly valueStart: number;
  /** Where the next field starts. */
  readonly end: number;
}

function bytesOf(field: Field): number {
  return field.end - field.valueStart;
}

/** A varint as a number (imprecise beyond 2^53: such lengths and tags are refused anyway); undefined if cut off. */
function readVarint(bytes: Buffer, start: number): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let i = start; i < bytes.byteLength && i < start + 10; i++) {
    // In bounds: the loop's own condition.
    const byte = bytes[i] as number;
    value += (byte & 0x7f) * 2 ** (7 * (i - start));
    if (byte < 0x80) return { value, end: i + 1 };
  }
  return undefined;
}

/** Tag and length of an outlined message. */
function delimitedHeader(number: number, chunks: readonly Buffer[]): Buffer {
  const bytes: number[] = [];
  const length = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  for (const value of [number * 8 + 2, length]) {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
    bytes.push(rest);
  }
  return Buffer.from(bytes);
}
