/** NumPy's archive of named arrays (.npz): a zip file with one .npy file an array. */
import { zipSync } from "fflate";
import { InferenceError } from "../errors.ts";
import { type NpyArray, readNpy, writeNpy } from "./npy.ts";
import { unzipEntry, zipEntries } from "./zip.ts";

/** Limits of a whole archive: what its arrays unpack to, and how many there are. */
const MAX_UNPACKED_BYTES = 2 ** 31;
const MAX_ARRAYS = 1024;
const SUFFIX = ".npy";
/** The earliest time that zip can write, in local time, which is what zip holds: the bytes tell no clock and no zone. */
const TIME_STAMP = new Date(1980, 0, 1);

/**
 * Reads the arrays of an archive, in its order. `file` names it in complaints (INVALID_ARGUMENT); an archive that says
 * to unpack to more than `maxBytes` is refused before anything is unpacked.
 */
export function readNpz(bytes: Uint8Array, file: string, maxBytes = MAX_UNPACKED_BYTES): Map<string, NpyArray> {
  const entries = zipEntries(bytes, file);
  const unpackedBytes = entries.reduce((sum, entry) => sum + entry.unpackedBytes, 0);
  if (unpackedBytes > maxBytes) {
    throw new InferenceError("INVALID_ARGUMENT", `${file}: unpacks to ${unpackedBytes} bytes, at most ${maxBytes}`);
  }
  if (entries.length > MAX_ARRAYS) {
    throw new InferenceError("INVALID_ARGUMENT", `${file}: holds ${entries.length} arrays, at most ${MAX_ARRAYS}`);
  }
  const arrays = new Map<string, NpyArray>();
  for (const entry of entries) {
    if (!entry.name.endsWith(SUFFIX)) {
      throw new InferenceError("INVALID_ARGUMENT", `${file}: '${entry.name}' is not a .npy array`);
    }
    const name = entry.name.slice(0, -SUFFIX.length);
    if (arrays.has(name)) throw new InferenceError("INVALID_ARGUMENT", `${file}: there are two arrays '${name}'`);
    arrays.set(name, readNpy(unzipEntry(bytes, entry, file), `${file}: array '${name}'`));
  }
  return arrays;
}

/** An archive of arrays, compressed; the same arrays in the same order give the same bytes on every machine. */
export function writeNpz(arrays: ReadonlyMap<string, NpyArray>): Uint8Array {
  const files = [...arrays].map(([name, array]) => [`${name}${SUFFIX}`, writeNpy(array, `array '${name}'`)] as const);
  return zipSync(Object.fromEntries(files), { level: 6, mtime: TIME_STAMP });
}
