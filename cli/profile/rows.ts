/** Rows that a profile runs its models on. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { checkRows, fixedDims, randomRows } from "../../model-repo/profile/sample-requests.ts";
import { seededRandom } from "../../planner/cascade/random.ts";
import { ELEMENT_BYTES } from "../../proto/datatypes.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { NpyArray } from "../../proto/files/npy.ts";
import { readNpz } from "../../proto/files/npz.ts";
import { elementCount, type Tensor } from "../../proto/tensor.ts";
import type { ModelSignature } from "../../scheduler/signature.ts";
import { convertElements } from "../dataset/convert.ts";

/** Rows for one model after another; the same every time. */
export interface RowSource {
  /** What decides the rows, for the key of what is measured on them. */
  readonly key: string;
  rowsOf(signature: ModelSignature): Tensor[];
}

const SEED = 1;
/** Different rows, that no run finds its inputs in the cache; large ones are fewer. */
const MOST_ROWS = 64;
const MOST_RANDOM_BYTES = 64 * 2 ** 20;

/** Random rows, seeded; `shapes` says the sizes of free dimensions. */
export function randomSource(shapes: ReadonlyMap<string, readonly number[]>): RowSource {
  return {
    key: `random ${JSON.stringify([...shapes].sort())}`,
    rowsOf: (signature) => {
      const rowBytes = signature.inputs.reduce((sum, spec) => {
        if (spec.optional === true) return sum;
        const dims = fixedDims(signature.name, spec, shapes);
        return sum + elementCount(dims) * Math.max(1, ELEMENT_BYTES[spec.datatype]);
      }, 0);
      const rows = Math.max(1, Math.min(MOST_ROWS, Math.floor(MOST_RANDOM_BYTES / Math.max(1, rowBytes))));
      return randomRows(signature, rows, { shapes, random: seededRandom(SEED) });
    },
  };
}

/** The arrays of an archive that a model has inputs for. Throws INVALID_ARGUMENT naming the file. */
export async function npzSource(file: string): Promise<RowSource> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new InferenceError("INVALID_ARGUMENT", `--data: ${String(error)}`);
  });
  const arrays = readNpz(bytes, file);
  return {
    key: `sha256:${createHash("sha256").update(bytes).digest("hex")}`,
    rowsOf: (signature) => {
      const inputs = signature.inputs.filter(({ name, optional }) => optional !== true || arrays.has(name));
      return inputs.map((spec) => {
        const array = arrayOf(arrays, spec.name, file, signature.name);
        const data = convertElements(array, spec.datatype, 1, `${file}: array '${spec.name}'`);
        const tensor = { name: spec.name, datatype: spec.datatype, shape: array.shape, data };
        checkRows(signature, spec, tensor);
        return tensor;
      });
    },
  };
}

function arrayOf(arrays: ReadonlyMap<string, NpyArray>, name: string, file: string, model: string): NpyArray {
  const array = arrays.get(name);
  if (array !== undefined) return array;
  const names = [...arrays.keys()].map((each) => `'${each}'`).join(", ");
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `${file}: has no array '${name}', which model '${model}' takes; the file has ${names}`,
  );
}
