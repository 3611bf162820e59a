/** How far two results of the same model are apart. */
import type { Tensor } from "../../proto/tensor.ts";
import { readFloats } from "../../scheduler/confidence/floats.ts";
import type { OutputDifference } from "./jobs.ts";

const FLOATS: ReadonlySet<string> = new Set(["FP16", "FP32", "FP64"]);

/** Compares bits first; floats that differ are compared as numbers, anything else that differs is far apart. */
export function outputDifference(expected: Tensor, found: Tensor | undefined): OutputDifference {
  const { name, datatype, shape, data } = expected;
  const farApart = { name, isBitIdentical: false, maxAbs: Number.POSITIVE_INFINITY };
  if (found === undefined || found.datatype !== datatype || `${found.shape}` !== `${shape}`) return farApart;
  if (Buffer.compare(data, found.data) === 0) return { name, isBitIdentical: true, maxAbs: 0 };
  if (!FLOATS.has(datatype)) return farApart;
  const left = readFloats(expected);
  const right = readFloats(found);
  let maxAbs = 0;
  for (let i = 0; i < left.length; i++) {
    // In bounds: equal shapes.
    const [a, b] = [left[i] as number, right[i] as number];
    if (Object.is(a, b)) continue;
    const difference = Math.abs(a - b);
    if (Number.isNaN(difference)) return farApart;
    maxAbs = Math.max(maxAbs, difference);
  }
  return { name, isBitIdentical: false, maxAbs };
}
