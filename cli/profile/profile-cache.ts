/** Measurements that were made before, so that a profile that was interrupted goes on where it stopped. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceError } from "../../proto/errors.ts";
import { JsonField } from "../../proto/files/json-field.ts";
import { canonicalJson } from "../../proto/files/policy-hash.ts";

/** Raised when what is measured changes its meaning. */
const CACHE_VERSION = 1;

export class ProfileCache {
  /** "": nothing is kept. */
  readonly #directory: string;
  readonly #warn: (text: string) => void;

  /** `warn` gets a line for every entry that is damaged; it is measured again then. */
  constructor(directory: string, warn: (text: string) => void) {
    this.#directory = directory;
    this.#warn = warn;
  }

  /** What was kept under the key, read by `read`, which throws for what is none; undefined where there is nothing. */
  async get<T>(key: object, read: (field: JsonField) => T): Promise<T | undefined> {
    if (this.#directory === "") return undefined;
    const path = this.#path(key);
    try {
      return read(JsonField.parse(await readFile(path, "utf8"), path));
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      this.#warn(`warning: it is measured again: ${InferenceError.from(error).message}`);
      return undefined;
    }
  }

  /** Keeps a value; a half written one is never seen. */
  async put(key: object, value: object): Promise<void> {
    if (this.#directory === "") return;
    await mkdir(this.#directory, { recursive: true });
    const path = this.#path(key);
    await writeFile(`${path}.${process.pid}.part`, JSON.stringify(value));
    await rename(`${path}.${process.pid}.part`, path);
  }

  #path(key: object): string {
    const text = canonicalJson({ cacheVersion: CACHE_VERSION, ...key });
    return join(this.#directory, `${createHash("sha256").update(text).digest("hex")}.json`);
  }
}
