/** Outputs of levels that were run before, so that a calibration that was interrupted goes on where it stopped. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunRows } from "../../planner/runtime.ts";
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
  readonly firstRow: number;
  readonly rows: number;
}

const COST = "cost";
const OUTPUT = "output:";

export class LevelCache {
  readonly #directory: string;

  /** `directory` is made when something is kept. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The chunk as it was kept; undefined where it is not, or cannot be read: it is computed again then. */
  async get(key: ChunkKey): Promise<RunRows | undefined> {
    const path = this.#path(key);
    let bytes: Uint8Array;
    try {
      bytes = await readFile(path);
    } catch {
      return undefined;
    }
    const arrays = readNpz(bytes, path);
    const cost = arrays.get(COST);
    const outputs = key.outputs.map((name) => arrays.get(OUTPUT + name));
    if (cost === undefined || outputs.includes(undefined)) return undefined;
    const tensors = outputs.flatMap((array, i): Tensor[] =>
      array === undefined ? [] : [{ name: key.outputs[i] ?? "", ...array }],
    );
    return { outputs: tensors, cost: new DataView(cost.data.buffer, cost.data.byteOffset).getFloat64(0, true) };
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

  #path(key: ChunkKey): string {
    return join(this.#directory, `${createHash("sha256").update(canonicalJson(key)).digest("hex")}.npz`);
  }
}
