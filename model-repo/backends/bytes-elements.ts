/** BYTES tensors (length-prefixed elements) to and from the strings that JavaScript runtimes take. */
import { isUtf8 } from "node:buffer";
import { InferenceError } from "../../proto/errors.ts";

/**
 * The elements as strings. onnxruntime-node takes JavaScript strings and cuts them at a zero byte, so elements that are
 * not UTF-8 or hold one are refused (INVALID_ARGUMENT) instead of being changed silently.
 */
export function decodeStrings(name: string, data: Uint8Array): string[] {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const strings: string[] = [];
  let offset = 0;
  while (offset + 4 <= bytes.length) {
    const start = offset + 4;
    const end = start + bytes.readUInt32LE(offset);
    if (end > bytes.length) break;
    const text = bytes.toString("utf8", start, end);
    if (text.includes("\0") || (text.includes("\uFFFD") && !isUtf8(bytes.subarray(start, end)))) {
      throw new InferenceError(
        "INVALID_ARGUMENT",
        `input '${name}': element ${strings.length} is not UTF-8 text without zero bytes, the only strings that ` +
          "onnxruntime-node takes; send other bytes as UINT8",
      );
    }
    strings.push(text);
    offset = end;
  }
  return strings;
}

/** The strings as length-prefixed UTF-8 elements in fresh memory. */
export function encodeStrings(strings: readonly string[]): ArrayBuffer {
  let total = 0;
  for (const text of strings) total += 4 + Buffer.byteLength(text);
  const data = new ArrayBuffer(total);
  const bytes = Buffer.from(data);
  let offset = 0;
  for (const text of strings) {
    const length = bytes.write(text, offset + 4);
    bytes.writeUInt32LE(length, offset);
    offset += 4 + length;
  }
  return data;
}
