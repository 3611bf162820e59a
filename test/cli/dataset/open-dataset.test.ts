import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { encode as encodeJpeg } from "jpeg-js";
import { PNG } from "pngjs";
import type { DatasetOptions } from "../../../cli/dataset/dataset.ts";
import { openDataset } from "../../../cli/dataset/open-dataset.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";
import { array, floats, npz, options, refusal } from "./support.ts";

const RGB = [{ name: "image", datatype: "UINT8", dims: [3, 2, 3] }] as const;
const PIXELS = Uint8Array.from({ length: 12 }, (_, i) => i * 20);

describe("IDX files", () => {
  it("are read with the labels beside them, divided by 255", async (t) => {
    const folder = await temporaryFiles(t, {
      "t-images-idx3-ubyte": idx([2, 2, 3], PIXELS),
      "t-labels-idx1-ubyte": idx([2], [2, 0]),
    });
    const dataset = await openDataset(join(folder, "t-images-idx3-ubyte"), options());
    assert.ok(dataset.kind === "inputs");
    assert.deepEqual(dataset.inputs[0]?.shape, [2, 1, 2, 3]);
    assert.deepEqual(
      floats(dataset.inputs[0]?.data),
      Array.from(PIXELS, (pixel) => Math.fround(pixel / 255)),
    );
    assert.deepEqual(dataset.labels.values, Int32Array.of(2, 0));
    assert.deepEqual([...(dataset.images?.pixels ?? [])], [...PIXELS]);
  });

  it("are the demo's own test set, gzipped", async () => {
    const path = fileURLToPath(
      new URL("../../../examples/fashion-mnist/data/test-images-idx3-ubyte.gz", import.meta.url),
    );
    const inputs = [{ name: "image", datatype: "FP32", dims: [1, 28, 28] }] as const;
    const dataset = await openDataset(path, options({ inputs, classes: 10, labelNames: null }));
    assert.ok(dataset.kind === "inputs");
    assert.equal(dataset.rows, 2000);
    assert.deepEqual([...new Set(dataset.labels.values)].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("are refused with file, expected and found", async (t) => {
    const images = idx([2, 2, 3], PIXELS);
    const cases: [Record<string, Uint8Array>, Partial<DatasetOptions>, RegExp][] = [
      [
        { labels: idx([3], [0, 0, 0]), images },
        {},
        /labels-idx1-ubyte: has 3 labels, .*images-idx3-ubyte has 2 images$/,
      ],
      [{ labels: idx([2], [0, 9]), images }, {}, /labels-idx1-ubyte, row 1: label 9 is no class, expected 0 to 2$/],
      [{ images }, {}, /the labels cannot be read \(name their file with --labels\): ENOENT/],
      [
        { images: images.subarray(0, -1) },
        {},
        /images-idx3-ubyte: has 11 bytes of elements, expected 12 for \[2,2,3\]$/,
      ],
      [
        { images: idx([12], PIXELS) },
        {},
        /not an IDX file of bytes in 3 dimensions \(begins 00000801, expected 00000803\)/,
      ],
      [{ images }, { inputs: RGB }, /the images are gray, input 'image' takes 3 channels$/],
      [
        { images },
        { inputs: [{ name: "image", datatype: "FP32", dims: [1, 4, 4] }] },
        /every image is 2 x 3 \(height x width\), input 'image' takes 4 x 4: images are not resized/,
      ],
      [
        { images },
        { inputs: [...RGB, { name: "b", datatype: "FP32", dims: [1] }] },
        /images are for a cascade with one input, this one has 'image', 'b'; use a \.npz file$/,
      ],
    ];
    for (const [files, changes, message] of cases) {
      const entries = Object.entries(files).map(([name, bytes]) => [
        name === "images" ? "images-idx3-ubyte" : "labels-idx1-ubyte",
        bytes,
      ]);
      const folder = await temporaryFiles(t, Object.fromEntries(entries));
      await assert.rejects(openDataset(join(folder, "images-idx3-ubyte"), options(changes)), refusal(message));
    }
    const folder = await temporaryFiles(t, { "idx3-ubyte.gz": gzipSync(images).subarray(0, -9) });
    await assert.rejects(openDataset(join(folder, "idx3-ubyte.gz"), options()), refusal(/cannot be unpacked: /));
  });
});

describe("folders of images", () => {
  it("are read by labels.csv: PNG and JPEG, names and numbers, groups", async (t) => {
    const folder = await temporaryFiles(t, {
      "labels.csv": '\ufefffile,label,group\r\n"a, b.png",dog,u1\r\nsub/b.png,2,u2\nc.jpg,cat,u1\n\n',
      "a, b.png": png(2, 3, (i) => [i * 9, i * 9, i * 9]),
      "sub/b.png": png(2, 3, () => [255, 255, 255]),
      "c.jpg": encodeJpeg({ width: 3, height: 2, data: new Uint8Array(24).fill(255) }, 100).data,
    });
    const dataset = await openDataset(folder, options({ scale: 1 }));
    assert.ok(dataset.kind === "inputs");
    assert.deepEqual(dataset.labels.values, Int32Array.of(1, 2, 0));
    assert.deepEqual(dataset.groups, ["u1", "u2", "u1"]);
    assert.deepEqual(dataset.inputs[0]?.shape, [3, 1, 2, 3]);
    const white = new Array(6).fill(255);
    assert.deepEqual(floats(dataset.inputs[0]?.data), [0, 9, 18, 27, 36, 45, ...white, ...white]);
  });

  it("give three channels, one after the other, as bytes where the input is of bytes", async (t) => {
    const folder = await temporaryFiles(t, {
      "labels.csv": "label,file\n0,a.png\n",
      "a.png": png(2, 3, (i) => [i, 10 + i, 20 + i]),
    });
    const dataset = await openDataset(folder, options({ inputs: RGB }));
    assert.ok(dataset.kind === "inputs");
    const [first] = dataset.inputs;
    assert.deepEqual([...(first?.data ?? [])], [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25]);
    assert.equal(dataset.groups, null);
  });

  it("are refused naming the file, the sizes or the line", async (t) => {
    const gray = png(2, 3, () => [1, 1, 1]);
    const cases: [Record<string, string | Uint8Array>, Partial<DatasetOptions>, RegExp][] = [
      [{ "a.png": png(3, 3, () => [1, 1, 1]) }, {}, /a\.png is 3 x 3 \(height x width\), input 'image' takes 2 x 3: /],
      [{ "a.png": png(2, 3, () => [1, 2, 1]) }, {}, /a\.png: is in colour, the model takes one channel; /],
      [{ "a.png": gray.subarray(0, 60) }, {}, /a\.png: cannot be decoded: /],
      [{ "a.png": gray.subarray(0, 20) }, {}, /a\.png: is neither a PNG nor a JPEG file, or truncated$/],
      [{ "a.png": "text" }, {}, /a\.png: is neither a PNG nor a JPEG file, or truncated$/],
      [{ "a.png": png(2, 3, () => [1, 1, 1, 9]) }, {}, /a\.png: has transparent pixels/],
      [{}, {}, /^labels\.csv, image 1: ENOENT.*a\.png/],
      [{ "labels.csv": "a.png,0\n" }, {}, /labels\.csv: the first line is 'a\.png,0', expected 'file,label'$/],
      [{ "labels.csv": "file,label\n" }, {}, /labels\.csv: names no images$/],
      [{ "labels.csv": "file,label\na.png\n" }, {}, /labels\.csv, line 2: has 1 fields, expected 2 \(file,label\)$/],
      [
        { "labels.csv": "file,label\na.png,cow\n" },
        {},
        /labels\.csv, line 2: label 'cow' is no class, expected a name/,
      ],
      [{ "labels.csv": "file,label\na.png,3\n" }, {}, /labels\.csv, line 2: label 3 is no class, expected 0 to 2$/],
      [{ "labels.csv": "file,label\na.gif,0\n" }, {}, /a\.gif: is not named as a PNG or JPEG file$/],
      [{ "a.png": gray }, { groupBy: "user" }, /there is no column 'user', which --group-by names$/],
      [
        { "labels.csv": "file,label\na.png,0\nb.png,0\n", "a.png": gray, "b.png": png(1, 3, () => [1, 1, 1]) },
        { inputs: [{ name: "image", datatype: "FP32", dims: [1, -1, -1] }] },
        /b\.png is 1 x 3, the first image is 2 x 3: all must have one size$/,
      ],
    ];
    for (const [files, changes, message] of cases) {
      const folder = await temporaryFiles(t, { "labels.csv": "file,label\na.png,0\n", ...files });
      await assert.rejects(openDataset(folder, options(changes)), refusal(message));
    }
    const empty = await temporaryFiles(t, { "x/": "" });
    await assert.rejects(openDataset(empty, options()), refusal(/labels\.csv'$/));
  });
});

describe("openDataset", () => {
  it("tells formats apart by name", async (t) => {
    const folder = await temporaryFiles(t, {
      "a.npz": npz({
        image: array("UINT8", [1, 1, 2, 3], new Uint8Array(6)),
        labels: array("INT8", [1], new Int8Array(1)),
      }),
      "b.json": JSON.stringify({ data: [{ image: [1, 2, 3, 4, 5, 6] }], validation_data: [{ logits: [1, 2, 3] }] }),
      "c.txt": "",
    });
    assert.equal((await openDataset(join(folder, "a.npz"), options())).rows, 1);
    assert.equal((await openDataset(join(folder, "b.json"), options())).rows, 1);
    await assert.rejects(
      openDataset(join(folder, "c.txt"), options()),
      refusal(/c\.txt: is no known data set; known are/),
    );
    await assert.rejects(
      openDataset(join(folder, "d.npz"), options()),
      refusal(/^the data set cannot be read: ENOENT/),
    );
    await assert.rejects(
      openDataset(join(folder, "a.npz"), options({ labelsFile: "l" })),
      refusal(/--labels is for IDX files/),
    );
  });
});

function idx(shape: readonly number[], elements: ArrayLike<number>): Uint8Array {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, 8, shape.length]);
  for (const [i, dim] of shape.entries()) header.writeUInt32BE(dim, 4 + 4 * i);
  return Buffer.concat([header, Uint8Array.from(elements)]);
}

function png(height: number, width: number, pixel: (index: number) => number[]): Buffer {
  const image = new PNG({ width, height });
  for (let i = 0; i < width * height; i++) {
    const [red = 0, green = 0, blue = 0, alpha = 255] = pixel(i);
    image.data.set([red, green, blue, alpha], 4 * i);
  }
  return PNG.sync.write(image);
}
