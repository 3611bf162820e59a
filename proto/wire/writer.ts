/**
 * Writes protobuf's wire format into a buffer with room for a size computed beforehand: the `*Size` functions and the methods of
 * WireWriter mirror each other call by call. Like proto3, callers leave out default values.
 */
import { utf8Length } from "./utf8.ts";

/** Bytes of a varint below 2^32: tags and lengths. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

/** Bytes of a safe integer as an int64 varint; negative ones always take 10. */
export function int64Size(value: number): number {
  if (value < 0) return 10;
  if (value < 0x1_0000_0000) return varintSize(value);
  let size = 5;
  for (let rest = Math.floor(value / 0x8_0000_0000); rest > 0; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** Bytes of an int64 or uint64 varint. */
export function bigIntSize(value: bigint): number {
  let size = 1;
  for (let rest = BigInt.asUintN(64, value) >> 7n; rest > 0n; rest >>= 7n) size++;
  return size;
}

/** Bytes of a length prefix and that many bytes after it. */
export function delimitedSize(length: number): number {
  return varintSize(length) + length;
}

/** Bytes of a string field with a one-byte tag; 0 for "", which proto3 leaves out. */
export function stringFieldSize(text: string): number {
  return text === "" ? 0 : 1 + delimitedSize(utf8Length(text));
}

/** Fills a buffer front to back. Tags are `(field number << 3) | wire type` below 128, as all of this protocol are. */
export class WireWriter {
  readonly bytes: Buffer;
  position: number;

  /** `bytes` has room from `position` on for what the `*Size` functions add up to. */
  constructor(bytes: Buffer, position = 0) {
    this.bytes = bytes;
    this.position = position;
  }

  /** A writer of a buffer of its own. */
  static ofSize(size: number): WireWriter {
    return new WireWriter(Buffer.allocUnsafe(size));
  }

  tag(tag: number): void {
    this.bytes[this.position++] = tag;
  }

  /** A varint below 2^32. */
  varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.position++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[this.position++] = rest;
  }

  /** A safe integer as an int64 varint. */
  int64(value: number): void {
    if (value >= 0 && value < 0x1_0000_0000) this.varint(value);
    else this.bigInt(BigInt(value));
  }

  /** An int64 or uint64 varint. */
  bigInt(value: bigint): void {
    let rest = BigInt.asUintN(64, value);
    while (rest >= 0x80n) {
      this.bytes[this.position++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.bytes[this.position++] = Number(rest);
  }

  double(value: number): void {
    this.position = this.bytes.writeDoubleLE(value, this.position);
  }

  /** Length prefix and text, without a tag. */
  string(text: string): void {
    const length = utf8Length(text);
    this.varint(length);
    this.#text(text, length);
  }

  /** A string field with its tag; nothing for "". */
  stringField(tag: number, text: string): void {
    if (text === "") return;
    this.tag(tag);
    this.string(text);
  }

  /** Length prefix and bytes, without a tag. */
  delimited(data: Uint8Array): void {
    this.varint(data.byteLength);
    this.bytes.set(data, this.position);
    this.position += data.byteLength;
  }

  /** A text of `length` bytes without a length prefix. */
  #text(text: string, length: number): void {
    if (length !== text.length || length > 64) {
      this.position += this.bytes.write(text, this.position, length, "utf8");
      return;
    }
    for (let i = 0; i < length; i++) this.bytes[this.position++] = text.charCodeAt(i);
  }
}
