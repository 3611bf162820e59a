/**
 * Counts how often the rows of a certify split were used for a cascade. A certificate that looks at the same rows again
 * promises less, since its user chose to look again; the count is printed and stands in the certificate.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { JsonField } from "../../proto/files/json-field.ts";

const FILE = ".certify-uses.json";
const FORMAT_VERSION = 1;

/** Counts one more use of these rows, also of a calibration that certifies nothing; returns the count with this one. */
export async function countCertifyUse(modelDirectory: string, certifyHash: string): Promise<number> {
  const path = join(modelDirectory, FILE);
  const uses = await readUses(path);
  const count = (uses.get(certifyHash) ?? 0) + 1;
  uses.set(certifyHash, count);
  const text = JSON.stringify({ formatVersion: FORMAT_VERSION, uses: Object.fromEntries(uses) }, null, 2);
  await writeFile(`${path}.part`, `${text}\n`);
  await rename(`${path}.part`, path);
  return count;
}

/** Certify hash -> uses; empty before the first calibration. */
async function readUses(path: string): Promise<Map<string, number>> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return new Map();
    throw error;
  }
  const root = JsonField.parse(text, path).object(["formatVersion", "uses"]);
  root.get("formatVersion").integer(FORMAT_VERSION, FORMAT_VERSION);
  return new Map(
    root
      .get("uses")
      .entries()
      .map(([hash, field]) => [hash, field.integer(0)]),
  );
}
