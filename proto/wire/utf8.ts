/** Strings in wire bytes: cheap where they are ASCII, strict where they are not. */
import { isUtf8 } from "node:buffer";

/** The bytes from `start` to `end` as text; undefined when they are not valid UTF-8. */
export function decodeUtf8(bytes: Buffer, start: number, end: number): string | undefined {
  for (let i = start; i < end; i++) {
    // In bounds: the caller checked `end` against the buffer.
    if ((bytes[i] as number) >= 0x80) {
      return isUtf8(bytes.subarray(start, end)) ? bytes.toString("utf8", start, end) : undefined;
    }
  }
  return start === end ? "" : bytes.toString("latin1", start, end);
}

/** Bytes of a text as UTF-8; a lone surrogate counts as U+FFFD, which is what it is written as. */
export function utf8Length(text: string): number {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) >= 0x80) return Buffer.byteLength(text);
  }
  return text.length;
}
