/** Runs every level of a cascade over a data set, chunk by chunk, through the cache. */
import type { Runtime } from "../../planner/runtime.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeLevel } from "../../proto/files/cascade-file.ts";
import { chunkSizes, concatTensors, splitTensor, type Tensor } from "../../proto/tensor.ts";
import type { LevelCache } from "./level-cache.ts";

/** Rows of one entry of the cache: small enough to lose little when interrupted. */
const CHUNK_ROWS = 2048;

export interface LevelRun {
  /** The level's tensors that its confidence reads, by role (`scores`, `mask`), all rows. */
  readonly outputs: ReadonlyMap<string, Tensor>;
  /** Of one row, in the runtime's unit. */
  readonly costPerRow: number;
  readonly levelHash: string;
}

/** Told after every chunk: rows done of `rows`, `cached` where nothing had to be computed. */
export type LevelProgress = (level: CascadeLevel, rowsDone: number, rows: number, cached: boolean) => void;

/** `inputs`: the cascade's inputs, all rows; `dataHash` names them in the cache, null: nothing is cached. */
export async function runLevel(
  level: CascadeLevel,
  inputs: readonly Tensor[],
  dataHash: string,
  runtime: Runtime,
  cache: LevelCache | null,
  progress: LevelProgress,
): Promise<LevelRun> {
  const signature = runtime.signature(level.model, level.version);
  const wiring = Object.fromEntries(signature.inputs.map(({ name }) => [name, level.inputs[name] ?? name]));
  const own = Object.entries(wiring).map(([name, from]) => ({ ...inputOf(inputs, from, level), name }));
  const roles = Object.entries(level.confidence?.outputs ?? {});
  const outputs = [...new Set(roles.map(([, output]) => output))];
  const levelHash = await runtime.levelHash(level.model, level.version);
  const rows = inputs[0]?.shape[0] ?? 0;
  const sizes = chunkSizes(rows, CHUNK_ROWS);
  const parts = own.map((input) => splitTensor(input, sizes));
  const chunks: (readonly Tensor[])[] = [];
  let cost = 0;
  let firstRow = 0;
  for (let i = 0; i < sizes.length; i++) {
    const key = {
      levelHash,
      dataHash,
      inputs: wiring,
      outputs,
      costUnit: runtime.costUnit,
      // The cost of a row depends on it.
      batchRows: signature.maxBatchSize,
      firstRow,
      rows: sizes[i] ?? 0,
    };
    // What cannot be told apart from another model's outputs is not kept.
    const kept = levelHash === "" ? undefined : await cache?.get(key);
    const part = parts.map((pieces) => pieces[i] as Tensor); // one piece a size
    const run = kept ?? (await runtime.run(level.model, level.version, part, outputs));
    if (kept === undefined && levelHash !== "") await cache?.put(key, run);
    chunks.push(run.outputs);
    cost += run.cost;
    firstRow += key.rows;
    progress(level, firstRow, rows, kept !== undefined);
  }
  const whole = outputs.map((_, i) => concatTensors(chunks.map((chunk) => chunk[i] as Tensor)));
  return {
    outputs: new Map(
      roles.map(([role, output]) => [role, whole[outputs.indexOf(output)] as Tensor]), // one tensor an output
    ),
    costPerRow: cost / Math.max(1, rows),
    levelHash,
  };
}

function inputOf(inputs: readonly Tensor[], name: string, level: CascadeLevel): Tensor {
  const input = inputs.find((candidate) => candidate.name === name);
  if (input !== undefined) return input;
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `level '${level.model}' takes its input from '${name}', which the data set lacks; it has: ` +
      inputs.map((each) => each.name).join(", "),
  );
}
