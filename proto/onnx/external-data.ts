/**
 * Refuses external data that leaves the model's own directory or is not there. onnxruntime refuses it too, later and
 * with a text that names neither tensor nor reason.
 */
import { realpath, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, sep } from "node:path";
import { InferenceError } from "../errors.ts";
import type { ExternalData, OnnxModel } from "./model.ts";

/** onnxruntime's own marker for weights at a memory address: never legitimate in a file. */
const MEMORY_ADDRESS_MARKER = "_ORT_MEM_ADDR_";

/**
 * Checks every reference of the model at `modelFile`. INVALID_ARGUMENT where one is absolute, contains `..`, leaves the
 * directory through a symbolic link or points beyond its file's end; UNAVAILABLE where a file is missing.
 */
export async function checkExternalData(model: OnnxModel, modelFile: string): Promise<void> {
  const directory = dirname(modelFile);
  const sizes = new Map<string, number>();
  for (const data of model.externalData) {
    let size = sizes.get(data.location);
    if (size === undefined) {
      size = await sizeInside(data, directory, modelFile);
      sizes.set(data.location, size);
    }
    if (data.offset + (data.length ?? 0) > size) {
      const range = `bytes ${data.offset} to ${data.offset + (data.length ?? 0)}`;
      throw refused(data, modelFile, `its data are ${range} of a file of ${size} bytes; is the copy complete?`);
    }
  }
}

/** Size of the file that the data lie in, once it is known to lie inside the directory. */
async function sizeInside(data: ExternalData, directory: string, modelFile: string): Promise<number> {
  const { location } = data;
  if (location === "") throw refused(data, modelFile, "it names no file");
  if (location.includes("\0")) throw refused(data, modelFile, "the name contains a NUL character");
  if (location.includes(MEMORY_ADDRESS_MARKER)) throw refused(data, modelFile, "it stands for a memory address");
  if (isAbsolute(location) || /^([a-zA-Z]:)?[\\/]/.test(location)) {
    throw refused(data, modelFile, "the path is absolute; data must lie beside the model, named by a relative path");
  }
  if (location.split(/[\\/]/).includes("..")) {
    throw refused(data, modelFile, "the path contains '..'; data must lie beside the model");
  }
  const file = join(directory, location);
  let target: string;
  try {
    target = await realpath(file);
  } catch (error) {
    throw new InferenceError("UNAVAILABLE", `unable to find '${file}', the ${where(data, modelFile)}`, {
      cause: error,
    });
  }
  if (!target.startsWith((await realpath(directory)) + sep)) {
    throw refused(data, modelFile, `a symbolic link leads out of the model's directory, to '${target}'`);
  }
  const found = await stat(target);
  if (!found.isFile()) throw refused(data, modelFile, "it is not a file");
  return found.size;
}

function refused(data: ExternalData, modelFile: string, reason: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", `refused '${data.location}', the ${where(data, modelFile)}: ${reason}`);
}

function where(data: ExternalData, modelFile: string): string {
  return `external data of tensor '${data.tensor}' in '${modelFile}'`;
}
