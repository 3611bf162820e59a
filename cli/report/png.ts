/** Pixels as pictures inside a page. */
import { PNG } from "pngjs";
import { InferenceError } from "../../proto/errors.ts";

/**
 * `pixels`: uint8 of shape `shape`: [height, width] or [height, width, 1] gray, [height, width, 3] red, green, blue.
 * Returns a data URI. Throws INVALID_ARGUMENT for other shapes and for a wrong number of pixels.
 */
export function pngDataUri(pixels: Uint8Array, shape: readonly number[]): string {
  const [height = 0, width = 0, channels = 1] = shape;
  const known = (shape.length === 2 || shape.length === 3) && (channels === 1 || channels === 3);
  if (!known || height * width === 0 || pixels.length !== height * width * channels) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${pixels.length} bytes of shape [${shape}] are no picture; expected [height, width] or [height, width, 1 or 3]`,
    );
  }
  const colorType = channels === 3 ? 2 : 0;
  const png = new PNG({ width, height, colorType, inputColorType: colorType, inputHasAlpha: false, bitDepth: 8 });
  png.data = Buffer.from(pixels.buffer, pixels.byteOffset, pixels.byteLength);
  const options = { colorType, inputColorType: colorType, inputHasAlpha: false, bitDepth: 8 } as const;
  return `data:image/png;base64,${PNG.sync.write(png, options).toString("base64")}`;
}

/** [channels, height, width] to [height, width, channels], as pictures are stored. */
export function channelsLast(pixels: Uint8Array, channels: number, count: number): Uint8Array {
  const turned = new Uint8Array(pixels.length);
  pixels.forEach((value, i) => {
    turned[(i % count) * channels + Math.floor(i / count)] = value;
  });
  return turned;
}
