/** Opens labelled data by what it is: an archive, an IDX file, perf_analyzer's JSON or a folder of images. */
import type { Stats } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { badData, type Dataset, type DatasetOptions, MAX_DATASET_BYTES } from "./dataset.ts";
import { idxDataset, isIdxName } from "./idx.ts";
import { imageFolderDataset } from "./image-folder.ts";
import { npzDataset } from "./npz-data.ts";
import { perfDataset } from "./perf-data.ts";

/**
 * Reads a whole data set into memory, in the datatypes of the cascade's inputs. Throws INVALID_ARGUMENT naming file,
 * array or row, what was expected and what was found.
 */
export async function openDataset(path: string, options: DatasetOptions): Promise<Dataset> {
  const stats = await statOf(path);
  if (options.labelsFile !== null && !isIdxName(path)) {
    throw badData(`${path}: --labels is for IDX files of images; other data sets bring their labels along`);
  }
  if (stats.isDirectory()) return imageFolderDataset(path, options);
  if (stats.size > MAX_DATASET_BYTES) {
    throw badData(`${path}: has ${stats.size} bytes, at most ${MAX_DATASET_BYTES} are read; use fewer rows`);
  }
  if (isIdxName(path)) return idxDataset(path, options);
  if (path.endsWith(".npz")) return npzDataset(await readFile(path), path, options);
  if (path.endsWith(".json")) return perfDataset(await readFile(path, "utf8"), path, options);
  throw badData(
    `${path}: is no known data set; known are .npz, *idx3-ubyte[.gz], a folder of images with labels.csv and ` +
      "perf_analyzer's .json with validation_data",
  );
}

async function statOf(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (error) {
    throw badData(`the data set cannot be read: ${(error as Error).message}`); // fs rejects with Errors
  }
}
