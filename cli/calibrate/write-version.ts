/** Writes a new version directory of a model at once: a poll or a load sees all of it or nothing. */
import { chmod, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isVersionName } from "../../model-repo/repository-files.ts";
import { InferenceError } from "../../proto/errors.ts";

/** The number that the next version gets: one above the highest there is. */
export async function nextVersion(modelDirectory: string): Promise<number> {
  const names = await readdir(modelDirectory);
  return Math.max(0, ...names.filter(isVersionName).map(Number)) + 1;
}

/**
 * Writes `files` (name -> content) as a version directory of the model and returns its path. The directory is filled
 * under a name that is no version and then renamed, so nobody reads it half written.
 */
export async function writeVersion(
  modelDirectory: string,
  files: ReadonlyMap<string, string | Uint8Array>,
): Promise<string> {
  const temporary = await mkdtemp(join(modelDirectory, ".calibrate-"));
  try {
    // mkdtemp makes it private; the server may run as another user.
    await chmod(temporary, 0o755);
    for (const [name, content] of files) await writeFile(join(temporary, name), content);
    for (let version = await nextVersion(modelDirectory); ; version++) {
      const path = join(modelDirectory, String(version));
      if (await renamed(temporary, path)) return path;
    }
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error instanceof InferenceError
      ? error
      : new InferenceError("UNAVAILABLE", `cannot write a new version into ${modelDirectory}: ${String(error)}`);
  }
}

/** False where another calibration took the number in between. */
async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOTEMPTY" || code === "EEXIST") return false;
    throw error;
  }
}
