/**
 * Reads protobuf's wire format: a cursor over one buffer that checks every bound, copies nothing and counts the fields
 * it scans, so that the work a message can cause is bounded and testable. Knows nothing of any schema.
 */
import { type ErrorCode, InferenceError } from "../errors.ts";
import { decodeUtf8 } from "./utf8.ts";

/** Wire types; a tag is `(field number << 3) | wire type`. Groups (3, 4) are refused. */
export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH_DELIMITED = 2;
export const FIXED32 = 5;

export interface ReaderOptions {
  /** What the bytes are, for error texts: a message name, a file name. */
  readonly subject: string;
  /** Code of the errors; INVALID_ARGUMENT by default. */
  readonly code?: ErrorCode;
  /** Fields that may be scanned, nested ones included; unbounded by default. */
  readonly maxFields?: number;
}

/**
 * The usual loop: `for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) switch (tag) { case (1 << 3) | VARINT: ...
 * default: reader.skip(tag); }`. Matching whole tags makes a known field of a wrong wire type an unknown one, as in
 * protobuf. Nested messages: `const outer = reader.enter(); ...loop...; reader.leave(outer)`.
 */
export class WireReader {
  readonly bytes: Buffer;
  /** Offset of the next byte in `bytes`. */
  position = 0;
  /** Where the message, or the nested message entered last, ends. */
  end: number;
  /** Fields scanned so far. */
  fields = 0;
  /** Halves of the varint that readVarint() read last, both unsigned 32-bit. */
  low = 0;
  high = 0;
  /** Code of every error about these bytes. */
  readonly code: ErrorCode;
  readonly #subject: string;
  readonly #maxFields: number;

  constructor(bytes: Uint8Array, options: ReaderOptions) {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = bytes.byteLength;
    this.#subject = options.subject;
    this.code = options.code ?? "INVALID_ARGUMENT";
    this.#maxFields = options.maxFields ?? Number.POSITIVE_INFINITY;
  }

  /** The next field's tag, 0 at the end of the message. */
  tag(): number {
    if (this.position >= this.end) return 0;
    if (++this.fields > this.#maxFields) {
      throw new InferenceError(
        this.code,
        `${this.#subject} has at least ${this.fields} fields; the limit is ${this.#maxFields}`,
      );
    }
    const tag = this.#uint32();
    if (tag >>> 3 === 0) throw this.malformed("a field has the number 0");
    return tag;
  }

  /** The low 32 bits of a varint, unsigned: what protobuf keeps of 32-bit integers and enums. */
  varint32(): number {
    this.readVarint();
    return this.low;
  }

  /** Whether a varint of any size is not zero. */
  bool(): boolean {
    this.readVarint();
    return this.low !== 0 || this.high !== 0;
  }

  /** A varint as a signed 64-bit integer; NaN where a number cannot hold it exactly. */
  int64(): number {
    this.readVarint();
    if (this.high === 0) return this.low;
    const value = (this.high | 0) * 0x1_0000_0000 + this.low;
    return Number.isSafeInteger(value) ? value : Number.NaN;
  }

  /** A varint as a signed 64-bit integer. */
  bigInt64(): bigint {
    return BigInt.asIntN(64, this.bigUint64());
  }

  /** A varint as an unsigned 64-bit integer. */
  bigUint64(): bigint {
    this.readVarint();
    return (BigInt(this.high) << 32n) | BigInt(this.low);
  }

  /** Reads a varint of up to 64 bits into `low` and `high`; bits above the 64th are dropped, as in protobuf. */
  readVarint(): void {
    const start = this.position;
    if (start < this.end && this.#byte(start) < 0x80) {
      this.position = start + 1;
      this.low = this.#byte(start);
      this.high = 0;
      return;
    }
    const limit = Math.min(this.end, start + 10);
    let low = 0;
    let high = 0;
    for (let i = start, shift = 0; i < limit; i++, shift += 7) {
      const byte = this.#byte(i);
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else if (shift === 28) {
        low |= (byte & 0x0f) << 28;
        high = (byte & 0x7f) >>> 4;
      } else high |= (byte & 0x7f) << (shift - 32);
      if (byte < 0x80) {
        this.position = i + 1;
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    throw this.malformed(limit === start + 10 ? "a varint is longer than 10 bytes" : "a varint is cut off");
  }

  float(): number {
    this.#need(4);
    this.position += 4;
    return this.bytes.readFloatLE(this.position - 4);
  }

  double(): number {
    this.#need(8);
    this.position += 8;
    return this.bytes.readDoubleLE(this.position - 8);
  }

  /** Reads the length of a length-delimited field and checks that so many bytes follow. */
  length(): number {
    const length = this.#uint32();
    this.#need(length);
    return length;
  }

  /** A length-delimited field as a view on the buffer. */
  view(): Uint8Array {
    const length = this.length();
    const start = this.position;
    this.position += length;
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + start, length);
  }

  /** A length-delimited field as text; refuses what is not UTF-8. */
  string(): string {
    const length = this.length();
    const start = this.position;
    this.position += length;
    const text = decodeUtf8(this.bytes, start, this.position);
    if (text === undefined) throw this.malformed("a string is not valid UTF-8");
    return text;
  }

  /** Steps into a nested message or packed field: until leave(), `end` is its end. Returns what leave() wants. */
  enter(): number {
    const length = this.length();
    const outer = this.end;
    this.end = this.position + length;
    return outer;
  }

  /** Steps out of a nested message, to its end. */
  leave(outer: number): void {
    this.position = this.end;
    this.end = outer;
  }

  /** Steps over the value of a field. */
  skip(tag: number): void {
    switch (tag & 7) {
      case VARINT:
        this.readVarint();
        return;
      case FIXED64:
        this.#need(8);
        this.position += 8;
        return;
      case LENGTH_DELIMITED: {
        // Read first: `position += length()` would add to the position before the length.
        const length = this.length();
        this.position += length;
        return;
      }
      case FIXED32:
        this.#need(4);
        this.position += 4;
        return;
      default:
        throw this.malformed(`field ${tag >>> 3} has wire type ${tag & 7}, which is not supported`);
    }
  }

  /** An error that says what is wrong with the bytes and where. */
  malformed(what: string): InferenceError {
    return new InferenceError(this.code, `malformed ${this.#subject}: ${what} (near byte ${this.position})`);
  }

  /** A tag or a length: never beyond 32 bits. */
  #uint32(): number {
    this.readVarint();
    if (this.high !== 0) throw this.malformed("a tag or a length is beyond 32 bits");
    return this.low;
  }

  #need(length: number): void {
    if (length > this.end - this.position) throw this.malformed("a field is cut off");
  }

  #byte(index: number): number {
    // Every caller checked the index against `end`, which never exceeds the buffer.
    return this.bytes[index] as number;
  }
}
