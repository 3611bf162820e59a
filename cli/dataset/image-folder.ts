/** A folder of PNG and JPEG files with labels.csv (`file,label`, optional `group`). */
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { badData, type DatasetOptions, type Images, type InputsDataset, MAX_DATASET_BYTES } from "./dataset.ts";
import { decodeImage, imageSize } from "./image-file.ts";
import { checkSize, type ImageInput, imageInput, imageTensor } from "./images.ts";
import { labelOfText } from "./labels.ts";

export const LABELS_FILE = "labels.csv";
const GROUP_COLUMN = "group";
/** Bytes of a pixel as FP32 or FP64 input are several times those of the picture. */
const MAX_PIXEL_BYTES = MAX_DATASET_BYTES / 4;

interface Row {
  readonly file: string;
  readonly label: number;
  readonly group: string | null;
}

/** Every row of labels.csv, in its order. */
export async function imageFolderDataset(folder: string, options: DatasetOptions): Promise<InputsDataset> {
  const input = imageInput(options.inputs, folder);
  const csv = join(folder, LABELS_FILE);
  const rows = parseLabels(await readNamed(csv, folder), csv, options);
  const images = await readImages(folder, rows, input);
  const groups = rows.flatMap(({ group }) => (group === null ? [] : [group]));
  return {
    kind: "inputs",
    rows: rows.length,
    inputs: [imageTensor(images, rows.length, input, options)],
    images,
    labels: { values: Int32Array.from(rows, ({ label }) => label), tokens: 1 },
    groups: groups.length === 0 ? null : groups,
  };
}

function parseLabels(bytes: Uint8Array, csv: string, options: DatasetOptions): Row[] {
  const lines = new TextDecoder().decode(bytes).split(/\r?\n/);
  const columns = csvFields(lines[0] ?? "").map((name) => name.trim().toLowerCase());
  const groupBy = (options.groupBy ?? GROUP_COLUMN).toLowerCase();
  const [fileAt, labelAt, groupAt] = [columns.indexOf("file"), columns.indexOf("label"), columns.indexOf(groupBy)];
  if (fileAt < 0 || labelAt < 0) throw badData(`${csv}: the first line is '${lines[0]}', expected 'file,label'`);
  if (groupAt < 0 && options.groupBy !== null) {
    throw badData(`${csv}: there is no column '${options.groupBy}', which --group-by names`);
  }
  const rows = lines.slice(1).flatMap((line, i): Row[] => {
    if (line.trim() === "") return [];
    const where = `${csv}, line ${i + 2}`;
    const fields = csvFields(line);
    if (fields.length !== columns.length) {
      throw badData(`${where}: has ${fields.length} fields, expected ${columns.length} (${columns.join(",")})`);
    }
    const label = labelOfText(fields[labelAt] ?? "", where, options);
    return [{ file: fields[fileAt] ?? "", label, group: groupAt < 0 ? null : (fields[groupAt] ?? "") }];
  });
  if (rows.length === 0) throw badData(`${csv}: names no images`);
  return rows;
}

/** Fields of one line; a field in double quotes may hold commas, and quotes as two of them. */
function csvFields(line: string): string[] {
  const fields = [...`${line},`.matchAll(/(?:"((?:[^"]|"")*)"|([^,]*)),/g)];
  return fields.map(([, quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare ?? "");
}

async function readImages(folder: string, rows: readonly Row[], input: ImageInput): Promise<Images> {
  let images: Images | undefined;
  for (const [i, { file }] of rows.entries()) {
    const path = join(folder, file);
    if (![".png", ".jpg", ".jpeg"].includes(extname(file).toLowerCase())) {
      throw badData(`${path}: is not named as a PNG or JPEG file`);
    }
    const bytes = await readNamed(path, `${LABELS_FILE}, image ${i + 1}`);
    const { height, width } = imageSize(bytes, path);
    checkSize(height, width, input, path);
    images ??= emptyImages(rows.length, input.channels, height, width, folder);
    if (height !== images.height || width !== images.width) {
      const first = `${images.height} x ${images.width}`;
      throw badData(`${path} is ${height} x ${width}, the first image is ${first}: all must have one size`);
    }
    images.pixels.set(decodeImage(bytes, input.channels, path), i * input.channels * height * width);
  }
  if (images === undefined) throw badData(`${folder}: there are no images`);
  return images;
}

function emptyImages(rows: number, channels: number, height: number, width: number, folder: string): Images {
  const bytes = rows * channels * height * width;
  if (bytes > MAX_PIXEL_BYTES) {
    throw badData(`${folder}: ${rows} images take ${bytes} bytes, at most ${MAX_PIXEL_BYTES}; use fewer`);
  }
  return { channels, height, width, pixels: new Uint8Array(bytes) };
}

async function readNamed(path: string, where: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw badData(`${where}: ${(error as Error).message}`); // fs rejects with Errors
  }
}
