/** Finds the cascade that is to be calibrated in the repositories, and what its newest version says. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isVersionName } from "../../model-repo/repository-files.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeFile } from "../../proto/files/cascade-file.ts";
import { parseCascadeFile } from "../../proto/files/read-cascade-file.ts";

export interface LocatedCascade {
  /** `<repository>/<model>`. */
  readonly directory: string;
  /** Policy of the newest version that has one; undefined where the model is not there yet. */
  readonly file: CascadeFile | undefined;
  /** That version; "" where there is none. */
  readonly version: string;
}

/** Throws NOT_FOUND where a model of the name is there but holds no cascade.json. */
export async function locateCascade(repositories: readonly string[], model: string): Promise<LocatedCascade> {
  for (const repository of repositories) {
    const directory = join(repository, model);
    const names = await readdir(directory).catch(() => undefined);
    if (names === undefined) continue;
    const versions = names
      .filter(isVersionName)
      .map(Number)
      .sort((a, b) => b - a);
    for (const version of versions) {
      const path = join(directory, String(version), "cascade.json");
      const text = await readFile(path, "utf8").catch(() => undefined);
      if (text !== undefined) return { directory, file: parseCascadeFile(text, path), version: String(version) };
    }
    throw new InferenceError(
      "NOT_FOUND",
      `model '${model}' in ${repository} has no version with a cascade.json; to make a cascade of models, name one that ` +
        "is not there yet and give --levels",
    );
  }
  const [first] = repositories;
  if (first === undefined) throw new InferenceError("INVALID_ARGUMENT", "no model repository was named");
  return { directory: join(first, model), file: undefined, version: "" };
}
