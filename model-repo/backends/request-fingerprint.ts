/** Tells whether two requests ask a model the same: a hash over their inputs. */
import { createHash } from "node:crypto";
import type { InferenceRequest } from "../../proto/inference.ts";

/** Hash of names, datatypes, shapes and bytes of the inputs, in the order of their names. */
export function requestFingerprint({ inputs }: InferenceRequest): string {
  const hash = createHash("sha256");
  for (const { name, datatype, shape, data } of inputs.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    hash.update(`${JSON.stringify([name, datatype, shape, data.byteLength])}\n`).update(data);
  }
  return hash.digest("base64");
}
