/** Reads zip archives as NumPy writes them (stored or deflated, below 4 GiB), checked by size and CRC. */
import { crc32, inflateRawSync } from "node:zlib";
import { InferenceError } from "../errors.ts";

/** One file of an archive, as its directory describes it. */
export interface ZipEntry {
  readonly name: string;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly crc: number;
  readonly packedBytes: number;
  readonly unpackedBytes: number;
  /** Where its local header begins. */
  readonly headerOffset: number;
}

const END_SIGNATURE = 0x06054b50;
const DIRECTORY_SIGNATURE = 0x02014b50;
const LOCAL_SIGNATURE = 0x04034b50;
const END_BYTES = 22;
const DIRECTORY_BYTES = 46;
const LOCAL_BYTES = 30;
/** A comment of the longest length behind the end record. */
const MAX_COMMENT_BYTES = 0xffff;
/** Stands where the real number is in a zip64 record. */
const IN_ZIP64 = 0xffffffff;
const ENCRYPTED = 1;

/** The directory of an archive. Throws INVALID_ARGUMENT naming the file. */
export function zipEntries(bytes: Uint8Array, file: string): ZipEntry[] {
  const view = viewOf(bytes);
  const end = endRecord(view, file);
  const count = view.getUint16(end + 10, true);
  const entries: ZipEntry[] = [];
  let at = view.getUint32(end + 16, true);
  for (let i = 0; i < count; i++) {
    if (at + DIRECTORY_BYTES > end || view.getUint32(at, true) !== DIRECTORY_SIGNATURE) {
      throw refused(`${file}: the zip directory is damaged at entry ${i} of ${count}`);
    }
    const nameBytes = view.getUint16(at + 28, true);
    const name = new TextDecoder().decode(bytes.subarray(at + DIRECTORY_BYTES, at + DIRECTORY_BYTES + nameBytes));
    if ((view.getUint16(at + 8, true) & ENCRYPTED) !== 0) throw refused(`${file}: '${name}' is encrypted`);
    const entry = {
      name,
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packedBytes: view.getUint32(at + 20, true),
      unpackedBytes: view.getUint32(at + 24, true),
      headerOffset: view.getUint32(at + 42, true),
    };
    if ([entry.packedBytes, entry.unpackedBytes, entry.headerOffset].includes(IN_ZIP64)) {
      throw refused(`${file}: '${name}' lies beyond 4 GiB; split the data set`);
    }
    entries.push(entry);
    at += DIRECTORY_BYTES + nameBytes + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return entries;
}

/** The content of an entry, a view on the archive where it is stored. Throws INVALID_ARGUMENT naming file and entry. */
export function unzipEntry(bytes: Uint8Array, entry: ZipEntry, file: string): Uint8Array {
  const where = `${file}: '${entry.name}'`;
  const view = viewOf(bytes);
  const { headerOffset, packedBytes, unpackedBytes, method } = entry;
  if (headerOffset + LOCAL_BYTES > bytes.byteLength || view.getUint32(headerOffset, true) !== LOCAL_SIGNATURE) {
    throw refused(`${where} is not where the zip directory says: the file is truncated or damaged`);
  }
  const variableBytes = view.getUint16(headerOffset + 26, true) + view.getUint16(headerOffset + 28, true);
  const start = headerOffset + LOCAL_BYTES + variableBytes;
  if (start + packedBytes > bytes.byteLength) throw refused(`${where} is cut off: the file is truncated`);
  const content = unpack(bytes.subarray(start, start + packedBytes), method, unpackedBytes, where);
  if (content.byteLength !== unpackedBytes) {
    throw refused(`${where} unpacks to ${content.byteLength} bytes, the zip directory says ${unpackedBytes}`);
  }
  if (crc32(content) !== entry.crc) throw refused(`${where} is damaged: its check sum does not match`);
  return content;
}

function unpack(packed: Uint8Array, method: number, unpackedBytes: number, where: string): Uint8Array {
  if (method === 0) return packed;
  if (method !== 8) throw refused(`${where} has zip compression ${method}; known are 0 (stored) and 8 (deflated)`);
  try {
    const content = inflateRawSync(packed, { maxOutputLength: Math.max(1, unpackedBytes) });
    return new Uint8Array(content.buffer, content.byteOffset, content.byteLength);
  } catch (error) {
    throw refused(`${where} cannot be unpacked: ${(error as Error).message}`); // zlib throws Errors only
  }
}

/** Offset of the record that ends an archive: the last one whose comment ends with the file. */
function endRecord(view: DataView, file: string): number {
  const first = Math.max(0, view.byteLength - END_BYTES - MAX_COMMENT_BYTES);
  for (let at = view.byteLength - END_BYTES; at >= first; at--) {
    if (view.getUint32(at, true) !== END_SIGNATURE) continue;
    if (at + END_BYTES + view.getUint16(at + 20, true) === view.byteLength) return at;
  }
  throw refused(`${file}: not a zip archive, or a truncated one`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function refused(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
