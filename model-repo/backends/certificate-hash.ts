/** The hashes that bind a certificate to its levels: of the files of a model, or of what another server says of it. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { InferenceError } from "../../proto/errors.ts";

/** What a level's hash is of: the files of its version, or the metadata that another server gives. */
export type HashKind = (typeof HASH_KINDS)[number];
const HASH_KINDS = ["files", "metadata"] as const;

/** As it stands in `calibration.levelHashes`: two kinds never say anything about each other. */
export function markedHash(kind: HashKind, hex: string): string {
  return `sha256:${kind}:${hex}`;
}

/**
 * What two hashes of a level tell; "" is a hash that is not known. Without a kind, as in cascade files of before it was
 * written, a hash is compared with any.
 */
export function compareHashes(recorded: string, found: string): "same" | "different" | "unknown" | "other kind" {
  if (recorded === "" || found === "") return "unknown";
  const [before, now] = [hashKind(recorded), hashKind(found)];
  if (before !== "" && now !== "" && before !== now) return "other kind";
  return digestOf(recorded) === digestOf(found) ? "same" : "different";
}

/** "" where the hash does not say it. */
export function hashKind(hash: string): HashKind | "" {
  return HASH_KINDS.find((kind) => hash.startsWith(markedHash(kind, ""))) ?? "";
}

function digestOf(hash: string): string {
  return hash.slice(hash.lastIndexOf(":") + 1);
}

/**
 * `sha256:files:<hex>` over names and contents of every file below a version directory, external data included; names that
 * begin with a dot are skipped (editors and file managers leave them). "" where there is no file: such a level is not
 * known by its files. Rejects (UNAVAILABLE) where a file cannot be read.
 */
export async function levelHash(versionDirectory: string): Promise<string> {
  try {
    const files = await filesBelow(versionDirectory);
    if (files.length === 0) return "";
    const all = createHash("sha256");
    for (const file of files) {
      const one = createHash("sha256");
      await pipeline(createReadStream(join(versionDirectory, file)), one);
      all.update(JSON.stringify([file.replaceAll(sep, "/"), one.digest("hex")]));
    }
    return markedHash("files", all.digest("hex"));
  } catch (error) {
    throw new InferenceError("UNAVAILABLE", `cannot read the model files in '${versionDirectory}': ${String(error)}`);
  }
}

/** Paths below the directory, sorted; symbolic links count as the files they lead to. */
async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .filter((path) => !path.split(sep).some((part) => part.startsWith(".")))
    .sort();
}

/** A model that does not run from files and can say what it is: a remote one hashes its metadata. */
export interface SelfHashed {
  /** `sha256:metadata:<hex>`; "": not known now. */
  readonly contentHash: string;
}

/** Whether a model says by itself what it is. */
export function isSelfHashed(model: object): model is SelfHashed {
  return "contentHash" in model && typeof model.contentHash === "string";
}
