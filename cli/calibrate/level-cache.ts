/** Outputs of levels that were run before, so that a calibration that was interrupted goes on where it stopped. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunRows } from "../../planner/runtime.ts";
import { InferenceError } from "../../proto/errors.ts";
import { readNpz, writeNpz } from "../../proto/files/npz.ts";
import { canonicalJson } from "../../proto/files/policy-hash.ts";
import type { Tensor } from "../../proto/tensor.ts";

/** What decides the bytes of a chunk of outputs. */
export interface ChunkKey {
  readonly levelHash: string;
  readonly dataHash: string;
  /** Level's input -> data set's input. */
  readonly inputs: Readonly<Record<string, string>>;
  readonly outputs: readonly string[];
  readonly costUnit: string;
  /** Most rows that the level took at once. */
  readonly batchRows: number;
  readonly firstRow: number;
  readonly rows: number;
}

const COST = "cost";
const OUTPUT = "output:";

export class LevelCache {
  readonly #directory: string;
  readonly #warn: (text: string) => void;

  /** `directory` is made when something is kept; `warn` gets a line for every chunk that is damaged. */
  constructor(directory: string, warn: (text: string) => void) {
    this.#directory = directory;
    this.#warn = warn;
  }

  /** The chunk as it was kept; undefined where it is not, or is damaged: it is computed again then. */
  async get(key: ChunkKey): Promise<RunRows | undefined> {
    const path = this.#path(key);
    let bytes: Uint8Array;
    try {
      bytes = await readFile(path);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) this.#again(path, error);
      return undefined;
    }
    try {
      return readChunk(bytes, path, key);
    } catch (error) {
      this.#again(path, error);
      return undefined;
    }
  }

  /** Keeps a chunk; a half written one is never seen. */
  async put(key: ChunkKey, { outputs, cost }: RunRows): Promise<void> {
    const costBytes = new Uint8Array(8);
    new DataView(costBytes.buffer).setFloat64(0, cost, true);
    const bytes = writeNpz(
      new Map([
        [COST, { datatype: "FP64", shape: [1], data: costBytes }],
        ...outputs.map(({ name, datatype, shape, data }) => [OUTPUT + name, { datatype, shape, data }] as const),
      ]),
    );
    await mkdir(this.#directory, { recursive: true });
    const path = this.#path(key);
    await writeFile(`${path}.${process.pid}.part`, bytes);
    await rename(`${path}.${process.pid}.part`, path);
  }

  #again(path: string, error: unknown): void {
    this.#warn(`warning: ${path} cannot be used, its rows run again: ${InferenceError.from(error).message}`);
  }

  #path(key: ChunkKey): string {
    return join(this.#directory, `${createHash("sha256").update(canonicalJson(key)).digest("hex")}.npz`);
  }
}

/** Throws INVALID_ARGUMENT for bytes that are not this chunk. */
function readChunk(bytes: Uint8Array, path: string, key: ChunkKey): RunRows {
  const arrays = readNpz(bytes, path);
  const array = (name: string) => {
    const found = arrays.get(name);
    if (found !== undefined) return found;
    throw new InferenceError("INVALID_ARGUMENT", `it has no array '${name}'`);
  };
  const cost = array(COST);
  if (cost.datatype !== "FP64" || cost.data.length !== 8) {
    throw new InferenceError("INVALID_ARGUMENT", `array '${COST}' is not one FP64 number`);
  }
  const outputs = key.outputs.map((name): Tensor => ({ name, ...array(OUTPUT + name) }));
  const short = outputs.find((output) => output.shape[0] !== key.rows);
  if (short !== undefined) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `'${short.name}' has shape [${short.shape}], expected ${key.rows} rows`,
    );
  }
  return { outputs, cost: new DataView(cost.data.buffer, cost.data.byteOffset).getFloat64(0, true) };
}
