/** Pixels of one PNG or JPEG file. */
import { decode as decodeJpeg } from "jpeg-js";
import { PNG } from "pngjs";
import { badData } from "./dataset.ts";

const PNG_MAGIC = "89504e470d0a1a0a";
/** Markers of JPEG frames, which hold the size: C0 to CF without C4 (tables), C8 (reserved) and CC (arithmetic). */
const NO_FRAMES = [0xc4, 0xc8, 0xcc];
/** Largest picture decoded; far above what a model takes. */
const MAX_PIXELS = 2 ** 26;

interface Decoded {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue and alpha of each pixel. */
  readonly data: Uint8Array;
}

/** Size of a picture, from its header: before decoding could cost anything. */
export function imageSize(bytes: Uint8Array, path: string): { height: number; width: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = isPng(bytes) ? pngSize(view) : jpegSize(view);
  if (size === undefined) throw badData(`${path}: is neither a PNG nor a JPEG file, or truncated`);
  if (size.height * size.width > MAX_PIXELS || size.height * size.width === 0) {
    throw badData(`${path}: is ${size.height} x ${size.width}, at most ${MAX_PIXELS} pixels are read`);
  }
  return size;
}

/**
 * Pixels as [channels, height, width], one byte each. Gray pictures fill three channels with the same; a picture in
 * colour for a gray input is refused, as is one with transparent pixels or 16 bits a channel.
 */
export function decodeImage(bytes: Uint8Array, channels: 1 | 3, path: string): Uint8Array {
  const { width, height, data } = isPng(bytes) ? decodePng(bytes, path) : decodeJpegFile(bytes, path);
  const count = width * height;
  const pixels = new Uint8Array(channels * count);
  for (let i = 0; i < count; i++) {
    const red = data[4 * i] as number; // four bytes for each pixel
    const green = data[4 * i + 1] as number;
    const blue = data[4 * i + 2] as number;
    if (data[4 * i + 3] !== 255) throw badData(`${path}: has transparent pixels; flatten it first`);
    if (channels === 1 && (red !== green || red !== blue)) {
      throw badData(`${path}: is in colour, the model takes one channel; convert it to gray first`);
    }
    pixels[i] = red;
    if (channels === 3) {
      pixels[count + i] = green;
      pixels[2 * count + i] = blue;
    }
  }
  return pixels;
}

function decodePng(bytes: Uint8Array, path: string): Decoded {
  const png = decoding(path, () => PNG.sync.read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)));
  if (png.depth === 16) throw badData(`${path}: has 16 bits a channel, expected 8`);
  return png;
}

function decodeJpegFile(bytes: Uint8Array, path: string): Decoded {
  return decoding(path, () => decodeJpeg(bytes, { useTArray: true, formatAsRGBA: true, tolerantDecoding: false }));
}

function decoding<T>(path: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw badData(`${path}: cannot be decoded: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function isPng(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 8)).toString("hex") === PNG_MAGIC;
}

function pngSize(view: DataView): { height: number; width: number } | undefined {
  if (view.byteLength < 24) return undefined;
  return { height: view.getUint32(20), width: view.getUint32(16) };
}

/** Walks the segments to the frame: FF, a marker, a length that counts itself. */
function jpegSize(view: DataView): { height: number; width: number } | undefined {
  if (view.byteLength < 4 || view.getUint16(0) !== 0xffd8) return undefined;
  for (let at = 2; at + 9 <= view.byteLength; ) {
    const marker = view.getUint8(at + 1);
    if (view.getUint8(at) !== 0xff) return undefined;
    if (marker >= 0xc0 && marker <= 0xcf && !NO_FRAMES.includes(marker)) {
      return { height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
    }
    at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2); // FF may fill up
  }
  return undefined;
}
