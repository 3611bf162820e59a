/** Files of a load request, written where nobody else can read them. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceError } from "../proto/errors.ts";
import { isModelName, isVersionName } from "./repository-files.ts";

export interface TemporaryModel {
  /** A model directory that holds only the given files. */
  readonly directory: string;
  remove(): Promise<void>;
}

/** One part of a path: no separators, no `.` or `..`, nothing a terminal or a file system trips over. */
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/;

/**
 * Writes the files of a load request, keyed `<version>/<name>`, into a fresh directory (mode 0700) named after the model.
 * Refuses keys with other than these two parts before anything is written.
 */
export async function writeTemporaryModel(
  model: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<TemporaryModel> {
  if (!isModelName(model)) throw new InferenceError("INVALID_ARGUMENT", `'${model}' cannot be the name of a directory`);
  for (const key of files.keys()) {
    const [version, name, ...more] = key.split("/");
    if (isVersionName(version ?? "") && FILE_NAME.test(name ?? "") && more.length === 0) continue;
    throw new InferenceError("INVALID_ARGUMENT", `file override '${key}' is not of the form '<version>/<file name>'`);
  }
  const root = await mkdtemp(join(tmpdir(), "hybridserve-model-"));
  const remove = () => rm(root, { recursive: true, force: true });
  try {
    const directory = join(root, model);
    for (const [key, contents] of files) {
      const [version = "", name = ""] = key.split("/");
      await mkdir(join(directory, version), { recursive: true, mode: 0o700 });
      await writeFile(join(directory, version, name), contents, { mode: 0o600 });
    }
    return { directory, remove };
  } catch (error) {
    await remove();
    throw InferenceError.from(error);
  }
}
