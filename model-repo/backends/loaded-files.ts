/** Files of an instance that is started again: they must be those it was loaded from, or its answers are another model's. */
import { stat } from "node:fs/promises";
import { InferenceError } from "../../proto/errors.ts";

export class LoadedFiles {
  readonly #paths: readonly string[];
  #states: readonly string[] | undefined;

  /** Nothing is looked at without paths. */
  constructor(paths: readonly string[] = []) {
    this.#paths = paths;
  }

  /**
   * Before every start; rejects (FAILED_PRECONDITION) where a file is not as before the first one. By size, time and
   * number of the file, as nobody waits for gigabytes to be hashed.
   */
  async check(label: string): Promise<void> {
    const states = await Promise.all(this.#paths.map(stateOf));
    this.#states ??= states;
    const changed = this.#paths.find((_, i) => states[i] !== this.#states?.[i]);
    if (changed === undefined) return;
    throw new InferenceError(
      "FAILED_PRECONDITION",
      `${label} is not started again: its file '${changed}' is not the one that the model was loaded from; load the model ` +
        "again, by its plan: send SIGHUP to the server",
    );
  }
}

async function stateOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? "missing" : `${found.ino} ${found.size} ${found.mtimeNs}`;
}
