/** The demo's test images, for benches whose answers depend on what is in them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

/** Images as float32 [count, 1, height, width] in 0..1, the demo models' input. */
export interface Images {
  readonly count: number;
  readonly shape: readonly number[];
  readonly pixels: Float32Array<ArrayBuffer>;
}

/** Reads the first `limit` images of the folder's gzipped IDX image file (its name holds "images"). */
export function readImages(folder: string, limit: number): Images {
  const name = readdirSync(folder).find((entry) => /images.*\.gz$/.test(entry));
  if (name === undefined) throw new Error(`${folder} holds no *images*.gz: the benches need the demo's test images`);
  return parseImages(gunzipSync(readFileSync(join(folder, name))), limit);
}

/** Parses an IDX3 file: big-endian magic 0x803, count, height, width, then one byte a pixel. */
export function parseImages(idx: Buffer, limit: number): Images {
  if (idx.readUInt32BE(0) !== 0x803) throw new Error("this is not an IDX file of images");
  const count = Math.min(limit, idx.readUInt32BE(4));
  const [height, width] = [idx.readUInt32BE(8), idx.readUInt32BE(12)];
  const pixels = Float32Array.from(idx.subarray(16, 16 + count * height * width), (pixel) => pixel / 255);
  return { count, shape: [count, 1, height, width], pixels };
}
