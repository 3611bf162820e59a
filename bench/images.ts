/** The demo's test images, for benches whose answers depend on what is in them. */
import { IMAGE_SIDE, readTestSet } from "../examples/fashion-mnist/dataset.ts";

/** Images as float32 [count, 1, height, width] in 0..1, the demo models' input. */
export interface Images {
  readonly count: number;
  readonly shape: readonly number[];
  readonly pixels: Float32Array<ArrayBuffer>;
}

/** The first `limit` test images. */
export function readImages(limit: number): Images {
  const testSet = readTestSet();
  const count = Math.min(limit, testSet.count);
  const pixels = testSet.pixels.slice(0, count * IMAGE_SIDE * IMAGE_SIDE);
  return { count, shape: [count, 1, IMAGE_SIDE, IMAGE_SIDE], pixels };
}
