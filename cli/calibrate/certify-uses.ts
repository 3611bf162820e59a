/**
 * Counts how often rows of a certify split were used for a cascade. A certificate that looks at the same rows again
 * promises less, since its user chose to look again; the count is printed and stands in the certificate.
 *
 * Looks are kept line by line in a file beside the versions, which is only ever appended to: two calibrations at once
 * lose none. A look holds a sketch of its rows (bottom k: the smallest hashes), not all of them.
 */
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceError } from "../../proto/errors.ts";
import { JsonField } from "../../proto/files/json-field.ts";

/** The dot keeps it out of a poll's sight. */
const FILE = ".certify-uses.jsonl";
const FORMAT_VERSION = 1;
/** Hashes of a sketch. Of looks that share a twentieth of their rows one in 500,000 is missed, of a hundredth one in 13. */
const SKETCH_ROWS = 256;
/** Hex digits kept of a hash: among millions of rows hardly two are alike by chance. */
const SKETCH_DIGITS = 16;

/** One look at certify rows. */
export interface CertifyLook {
  /** ISO 8601. */
  readonly at: string;
  readonly certifyHash: string;
  readonly rows: number;
  /** The smallest hashes of the rows, ascending, each once. */
  readonly sketch: readonly string[];
}

/** The look at these rows; `rowHashes`: the hex hash of each row's content. */
export function certifyLook(certifyHash: string, rowHashes: readonly string[], at: Date): CertifyLook {
  const short = new Set(rowHashes.map((hash) => hash.slice(0, SKETCH_DIGITS)));
  const sketch = [...short].sort().slice(0, SKETCH_ROWS);
  return { at: at.toISOString(), certifyHash, rows: rowHashes.length, sketch };
}

/**
 * Two looks are at the same rows where their sketches share a hash. That is strict: rows added to old ones are a use of
 * the old ones too, and a few rows in common by chance count as well.
 */
export function shareRows(a: CertifyLook, b: CertifyLook): boolean {
  const known = new Set(a.sketch);
  return b.sketch.some((hash) => known.has(hash));
}

/**
 * Notes one more look, also of a calibration that certifies nothing; returns how many looks at these rows there were,
 * with this one. Of two calibrations at once the one that wrote last counts both. Throws INVALID_ARGUMENT for a damaged
 * file, and adds nothing then.
 */
export async function recordCertifyUse(modelDirectory: string, look: CertifyLook): Promise<number> {
  const path = join(modelDirectory, FILE);
  await readLooks(path);
  const file = await open(path, "a");
  try {
    // One write, so that lines of two processes do not mix.
    await file.write(`${JSON.stringify({ formatVersion: FORMAT_VERSION, ...look })}\n`);
  } finally {
    await file.close();
  }
  return (await readLooks(path)).filter((other) => shareRows(other, look)).length;
}

/** Every look so far; none before the first calibration. */
async function readLooks(path: string): Promise<CertifyLook[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
  const lines = text.split("\n");
  if (lines.pop() !== "") {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${path}: the last line has no end; where no other calibration is writing it now, remove that line`,
    );
  }
  return lines.map((line, i) => readLook(line, `${path}, line ${i + 1}`));
}

function readLook(line: string, where: string): CertifyLook {
  const root = JsonField.parse(line, where).object(["formatVersion", "at", "certifyHash", "rows", "sketch"]);
  root.get("formatVersion").integer(FORMAT_VERSION, FORMAT_VERSION);
  return {
    at: root.get("at").string(),
    certifyHash: root.get("certifyHash").string(),
    rows: root.get("rows").integer(0),
    sketch: root
      .get("sketch")
      .items()
      .map((hash) => hash.string()),
  };
}
