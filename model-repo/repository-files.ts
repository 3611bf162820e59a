/** What lies in the model repositories. Everything is asynchronous and one call at a time: a hung disk holds one thread. */
import type { BigIntStats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { InferenceError } from "../proto/errors.ts";

/** The model directories of all repositories. */
export interface Listing {
  readonly models: ReadonlyMap<string, ListedModel>;
  /** Directories that cannot be models, by what is wrong with their name. */
  readonly ignored: readonly string[];
}

export interface ListedModel {
  /** Absolute. */
  readonly directory: string;
  /** Why the name is ambiguous and the model cannot be loaded; undefined where it can. */
  readonly problem: string | undefined;
}

/** What a model's files look like: equal texts mean unchanged files. */
export interface Fingerprint {
  /** Configuration, labels and everything else outside the version directories. */
  readonly config: string;
  readonly versions: ReadonlyMap<number, string>;
}

/** The file system as the repository sees it; tests and polls pass their own. */
export interface RepositoryFiles {
  /** Rejects (NOT_FOUND) when one of the repositories cannot be read: that is not an empty repository. */
  list(repositories: readonly string[]): Promise<Listing>;
  fingerprint(modelDirectory: string): Promise<Fingerprint>;
}

/** Names that can be models: what may safely be a directory, a metric label and a log field. */
const MODEL_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/;

/** A version directory: a positive integer without leading zeros. */
const VERSION_NAME = /^[1-9]\d{0,14}$/;

/** Triton's reason (model_repository_manager.cc, MODEL_READY_REASON_DUPLICATE). */
const DUPLICATE = "model appears in two or more repositories";

/** Deeper files do not count as changes; also the end of a loop of links. */
const MAX_DEPTH = 6;

export function isModelName(name: string): boolean {
  return MODEL_NAME.test(name);
}

export function isVersionName(name: string): boolean {
  return VERSION_NAME.test(name);
}

export const diskFiles: RepositoryFiles = {
  async list(repositories) {
    const models = new Map<string, ListedModel>();
    const spellings = new Map<string, string>();
    const ignored: string[] = [];
    for (const repository of repositories) {
      for (const name of await directoryNames(repository)) {
        const directory = resolve(repository, name);
        const other = spellings.get(name.toLowerCase());
        if (!isModelName(name)) {
          ignored.push(directory);
        } else if (other === undefined) {
          spellings.set(name.toLowerCase(), name);
          models.set(name, { directory, problem: undefined });
        } else {
          const problem =
            other === name ? DUPLICATE : `model names '${other}' and '${name}' differ only in letter case`;
          for (const twin of [other, name]) models.set(twin, { directory, problem });
        }
      }
    }
    return { models, ignored };
  },

  async fingerprint(modelDirectory) {
    const versions = new Map<number, string>();
    const rest: string[] = [];
    for (const name of (await readdir(modelDirectory)).sort()) {
      // Notes and half written versions of tools: no part of the model.
      if (name.startsWith(".")) continue;
      const lines: string[] = [];
      await describe(modelDirectory, join(modelDirectory, name), 0, lines);
      if (isVersionName(name)) versions.set(Number(name), lines.join("\n"));
      else rest.push(...lines);
    }
    return { config: rest.join("\n"), versions };
  },
};

async function directoryNames(repository: string): Promise<string[]> {
  try {
    const names: string[] = [];
    for (const name of (await readdir(repository)).sort()) {
      if (name.startsWith(".")) continue;
      const found = await stat(join(repository, name)).catch(() => undefined);
      if (found?.isDirectory() === true) names.push(name);
    }
    return names;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new InferenceError(
      "NOT_FOUND",
      `failed to read model repository '${repository}': ${text}; name an existing directory with --model-repository`,
    );
  }
}

/** One line a file: path, size, modification time and inode. A file that vanishes meanwhile leaves no line. */
async function describe(root: string, path: string, depth: number, lines: string[]): Promise<void> {
  const found: BigIntStats | undefined = await stat(path, { bigint: true }).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isDirectory()) {
    lines.push(`${relative(root, path)} ${found.size} ${found.mtimeNs} ${found.ino}`);
  } else if (depth < MAX_DEPTH) {
    lines.push(`${relative(root, path)}/`);
    for (const name of (await readdir(path)).sort()) await describe(root, join(path, name), depth + 1, lines);
  }
}
