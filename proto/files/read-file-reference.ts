/** Files and hashes that planner files name. */
import type { JsonField } from "./json-field.ts";
import type { FileReference } from "./plan-file.ts";

const HASH = /^sha256:[0-9a-f]{64}$/;
/** Of a model the hash also says what it is of: the files of its version, or what another server tells of it. */
const MODEL_HASH = /^sha256:((files|metadata):)?[0-9a-f]{64}$/;
/** Absolute, of a drive, or with a byte that ends C strings. */
const ELSEWHERE = /^[/\\]|^[A-Za-z]:|\0/;

/** A file in the plan's own folder: a plan must not make the server read elsewhere. */
export function readFileReference(field: JsonField): FileReference {
  field.object(["path", "hash"]);
  const path = field.get("path").string();
  if (ELSEWHERE.test(path) || path.split(/[/\\]/).includes("..")) {
    throw field.get("path").error("must lie in the plan's folder");
  }
  return { path, hash: readHash(field.get("hash")) };
}

export function readHash(field: JsonField): string {
  const value = field.string();
  if (!HASH.test(value)) throw field.error("must be a hash: sha256: and 64 hexadecimal digits");
  return value;
}

export function readModelHash(field: JsonField): string {
  const value = field.string();
  if (!MODEL_HASH.test(value)) throw field.error("must be a model's hash: sha256:files: and 64 hexadecimal digits");
  return value;
}
