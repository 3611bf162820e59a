/** Strings between NumPy's fixed-width layout and length-prefixed BYTES elements. */
import { InferenceError } from "../errors.ts";

const LARGEST_CODE_POINT = 0x10ffff;

/** The texts of a BYTES tensor's data; what a malformed length leaves over is not looked at. */
export function decodeStrings(data: Uint8Array): string[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const decoder = new TextDecoder();
  const texts: string[] = [];
  for (let at = 0; at + 4 <= data.byteLength; ) {
    const length = view.getUint32(at, true);
    texts.push(decoder.decode(data.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return texts;
}

/** Texts as the data of a BYTES tensor. */
export function encodeStrings(texts: readonly string[]): Uint8Array {
  const encoder = new TextEncoder();
  return prefixed(texts.map((text) => encoder.encode(text)));
}

/** NumPy strings of `itemBytes` each, `U` (UCS-4, little-endian) or `S` (bytes), without the zeros that fill them up. */
export function numpyStrings(data: Uint8Array, type: string, itemBytes: number, where: string): Uint8Array {
  if (itemBytes === 0) throw new InferenceError("INVALID_ARGUMENT", `${where} holds strings of width 0`);
  const items: Uint8Array[] = [];
  for (let start = 0; start < data.byteLength; start += itemBytes) {
    items.push(data.subarray(start, start + itemBytes));
  }
  if (type.startsWith("S")) return prefixed(items.map((item) => item.subarray(0, lengthWithoutZeros(item))));
  return encodeStrings(items.map((item) => unicodeText(item, where)));
}

function unicodeText(item: Uint8Array, where: string): string {
  const view = new DataView(item.buffer, item.byteOffset, item.byteLength);
  const end = Math.ceil(lengthWithoutZeros(item) / 4) * 4;
  let text = "";
  for (let at = 0; at < end; at += 4) {
    const codePoint = view.getUint32(at, true);
    if (codePoint > LARGEST_CODE_POINT) {
      throw new InferenceError("INVALID_ARGUMENT", `${where} holds ${codePoint}, which is no Unicode character`);
    }
    text += String.fromCodePoint(codePoint);
  }
  return text;
}

function lengthWithoutZeros(item: Uint8Array): number {
  let length = item.byteLength;
  while (length > 0 && item[length - 1] === 0) length--;
  return length;
}

function prefixed(items: readonly Uint8Array[]): Uint8Array {
  const data = new Uint8Array(items.reduce((sum, item) => sum + 4 + item.byteLength, 0));
  const view = new DataView(data.buffer);
  let at = 0;
  for (const item of items) {
    view.setUint32(at, item.byteLength, true);
    data.set(item, at + 4);
    at += 4 + item.byteLength;
  }
  return data;
}
