/** Reads the demo's test images and labels. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** Pixels of one image: 28 rows of 28. */
export const IMAGE_SIDE = 28;
const PIXELS = IMAGE_SIDE * IMAGE_SIDE;

export interface TestSet {
  readonly count: number;
  /** Values in 0..1, image after image, row after row: the models' input [count, 1, 28, 28]. */
  readonly pixels: Float32Array<ArrayBuffer>;
  /** Class of each image, 0..9. */
  readonly labels: Uint8Array;
  /** Name of each class. */
  readonly labelNames: readonly string[];
}

/** Reads the committed 2,000 images. */
export function readTestSet(): TestSet {
  const images = readIdx("data/test-images-idx3-ubyte.gz", 0x803, 16);
  const labels = readIdx("data/test-labels-idx1-ubyte.gz", 0x801, 8);
  const labelNames = readFileSync(new URL("models/fashion/labels.txt", import.meta.url), "utf8")
    .trimEnd()
    .split("\n");
  return { count: labels.length, pixels: Float32Array.from(images, (pixel) => pixel / 255), labels, labelNames };
}

/** Images `first` to `first + count` as the bytes of an FP32 tensor [count, 1, 28, 28]. */
export function imageBytes(testSet: TestSet, first: number, count: number): Uint8Array {
  const values = testSet.pixels.subarray(first * PIXELS, (first + count) * PIXELS);
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** The elements of a gzipped IDX file of bytes: a magic number, the dimensions, then one byte an element. */
function readIdx(file: string, magic: number, headerBytes: number): Uint8Array {
  const bytes = gunzipSync(readFileSync(new URL(file, import.meta.url)));
  if (bytes.readUInt32BE(0) !== magic) throw new Error(`${file} is not the IDX file it should be`);
  return bytes.subarray(headerBytes);
}
