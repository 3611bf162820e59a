/** MNIST's file format: images in one file, labels in another, both of bytes, gzipped or not. */
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { badData, type DatasetOptions, type InputsDataset, MAX_DATASET_BYTES } from "./dataset.ts";
import { checkSize, imageInput, imageTensor } from "./images.ts";
import { checkLabels } from "./labels.ts";

/** Elements of one unsigned byte. */
const UINT8 = 0x08;

export function isIdxName(path: string): boolean {
  return /idx3-ubyte(\.gz)?$/.test(path);
}

/** The images of `path` with the labels beside them, or in `options.labelsFile`. */
export async function idxDataset(path: string, options: DatasetOptions): Promise<InputsDataset> {
  const input = imageInput(options.inputs, path);
  const images = parseIdx(await readFile(path), path, 3);
  const [rows = 0, height = 0, width = 0] = images.shape;
  if (rows === 0) throw badData(`${path}: there are no images`);
  if (input.channels !== 1) {
    throw badData(`${path}: the images are gray, input '${input.spec.name}' takes ${input.channels} channels`);
  }
  checkSize(height, width, input, `${path}: every image`);
  const labelsPath = options.labelsFile ?? labelsBeside(path);
  const labels = parseIdx(await readLabelsFile(labelsPath, path), labelsPath, 1);
  if (labels.shape[0] !== rows) {
    throw badData(`${labelsPath}: has ${labels.shape[0]} labels, ${path} has ${rows} images`);
  }
  const pictures = { channels: 1, height, width, pixels: images.data };
  return {
    kind: "inputs",
    rows,
    inputs: [imageTensor(pictures, rows, input, options)],
    images: pictures,
    labels: checkLabels(labels.data, 1, labelsPath, options),
    groups: null,
  };
}

/** `t10k-images-idx3-ubyte.gz` -> `t10k-labels-idx1-ubyte.gz`. */
function labelsBeside(path: string): string {
  const name = basename(path).replace("images", "labels").replace("idx3", "idx1");
  return join(dirname(path), name);
}

async function readLabelsFile(path: string, imagesPath: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    const reason = (error as Error).message; // fs rejects with Errors
    throw badData(`${imagesPath}: the labels cannot be read (name their file with --labels): ${reason}`);
  }
}

/** Two zero bytes, the element type, the number of dimensions, each as a big-endian word, then the elements. */
function parseIdx(file: Uint8Array, path: string, rank: number): { shape: number[]; data: Uint8Array } {
  const bytes = path.endsWith(".gz") ? gunzip(file, path) : file;
  const headerBytes = 4 + 4 * rank;
  const magic = [0, 0, UINT8, rank];
  if (bytes.byteLength < headerBytes || magic.some((byte, i) => bytes[i] !== byte)) {
    const found = Buffer.from(bytes.subarray(0, 4)).toString("hex");
    const expected = Buffer.from(magic).toString("hex");
    throw badData(`${path}: not an IDX file of bytes in ${rank} dimensions (begins ${found}, expected ${expected})`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const count = shape.reduce((product, dim) => product * dim, 1);
  const found = bytes.byteLength - headerBytes;
  if (found !== count) throw badData(`${path}: has ${found} bytes of elements, expected ${count} for [${shape}]`);
  return { shape, data: bytes.subarray(headerBytes) };
}

function gunzip(bytes: Uint8Array, path: string): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_DATASET_BYTES });
  } catch (error) {
    throw badData(`${path}: cannot be unpacked: ${(error as Error).message}`); // zlib throws Errors only
  }
}
