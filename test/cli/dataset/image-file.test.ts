import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { encode as encodeJpeg } from "jpeg-js";
import { PNG } from "pngjs";
import { decodeImage, imageSize } from "../../../cli/dataset/image-file.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { refusal } from "./support.ts";

const HEIGHT = 9;
const WIDTH = 14;

describe("image files", () => {
  it("have the size that their header says, and pixels close to what was packed into a JPEG", () => {
    const jpeg = encodeJpeg({ width: WIDTH, height: HEIGHT, data: gradient() }, 100).data;
    assert.deepEqual(imageSize(jpeg, "x"), { height: HEIGHT, width: WIDTH });
    assert.deepEqual(imageSize(packedPng(), "x"), { height: HEIGHT, width: WIDTH });
    const exact = decodeImage(packedPng(), 3, "x");
    const close = decodeImage(jpeg, 3, "x");
    assert.equal(close.length, 3 * HEIGHT * WIDTH);
    for (const [i, value] of close.entries()) assert.ok(Math.abs(value - (exact[i] ?? -99)) < 12, `element ${i}`);
  });

  it("are refused by their header where they are too large to be a model's", () => {
    const png = packedPng();
    new DataView(png.buffer).setUint32(16, 1 << 24);
    assert.throws(() => imageSize(png, "x.png"), refusal(/^x\.png: is 9 x 16777216, at most 67108864 pixels/));
  });

  it("are refused with 16 bits a channel", () => {
    const data = Buffer.alloc(WIDTH * HEIGHT * 8, 0xff);
    const png = new PNG({ width: WIDTH, height: HEIGHT });
    png.data = data;
    const packed = PNG.sync.write(png, { bitDepth: 16, colorType: 6, inputColorType: 6 });
    assert.throws(() => decodeImage(packed, 3, "x.png"), refusal(/^x\.png: has 16 bits a channel, expected 8$/));
  });

  it("that are damaged give nothing but InferenceError", () => {
    const jpeg = new Uint8Array(encodeJpeg({ width: WIDTH, height: HEIGHT, data: gradient() }, 90).data);
    let refusals = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(packedPng(), jpeg),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 5 }),
        fc.option(fc.nat()),
        (file, changes, cut) => {
          const bytes = file.slice(0, cut === null ? file.length : 1 + (cut % file.length));
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          try {
            const { height, width } = imageSize(bytes, "x");
            assert.equal(decodeImage(bytes, 3, "x").length, 3 * height * width);
          } catch (error) {
            assert.ok(error instanceof InferenceError, String(error));
            refusals += 1;
          }
        },
      ),
      { numRuns: 1000 },
    );
    assert.ok(refusals > 300);
  });
});

/** Red, green, blue and alpha of a smooth picture. */
function gradient(): Uint8Array {
  const data = new Uint8Array(4 * HEIGHT * WIDTH).fill(255);
  for (let i = 0; i < HEIGHT * WIDTH; i++) data.set([40 + i, 60 + i, 80 + i], 4 * i);
  return data;
}

function packedPng(): Uint8Array {
  const image = new PNG({ width: WIDTH, height: HEIGHT });
  image.data.set(gradient());
  return new Uint8Array(PNG.sync.write(image));
}
