/** golden.npz: rows whose outputs are replayed when the cascade is loaded, to see that its levels still answer the same. */
import type { CascadeLevel } from "../../proto/files/cascade-file.ts";
import type { NpyArray } from "../../proto/files/npy.ts";
import { writeNpz } from "../../proto/files/npz.ts";
import { gatherRows, type Tensor } from "../../proto/tensor.ts";
import type { LevelRun } from "./run-levels.ts";

/** Enough to notice a changed model, few enough to replay at every load. */
const GOLDEN_ROWS = 256;

/**
 * Arrays `input:<name>` of the cascade's inputs and `level<k>:<output>` of what each level's confidence reads, for the
 * first rows of `order`.
 */
export function goldenRows(
  inputs: readonly Tensor[],
  levels: readonly CascadeLevel[],
  runs: readonly LevelRun[],
  order: Int32Array,
): Uint8Array {
  const rows = [...order.subarray(0, GOLDEN_ROWS)];
  const arrays = new Map<string, NpyArray>();
  const add = (name: string, tensor: Tensor) => {
    const { datatype, shape, data } = gatherRows(tensor, rows);
    arrays.set(name, { datatype, shape, data });
  };
  for (const input of inputs) add(`input:${input.name}`, input);
  runs.forEach((run, k) => {
    for (const [role, output] of Object.entries(levels[k]?.confidence?.outputs ?? {})) {
      const tensor = run.outputs.get(role);
      if (tensor !== undefined) add(`level${k}:${output}`, tensor);
    }
  });
  return writeNpz(arrays);
}
