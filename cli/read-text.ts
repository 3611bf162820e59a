/** Reads the files that flags name. */
import { readFile } from "node:fs/promises";
import { InferenceError } from "../proto/errors.ts";

/** Where a file that is not there comes from, by the flag that names it. */
const SOURCES: Readonly<Record<string, string>> = {
  "--devices": "hybridserve doctor --devices --output FILE writes it",
  "--profile": "hybridserve profile writes it",
  "--workload": "docs/planner.md shows what it holds",
  "--plan": "hybridserve plan writes it",
};

/** Text of a file. Rejects with the flag, the file, what is wrong and where such a file comes from. */
export async function readText(path: string, flag: string): Promise<string> {
  return readFile(path, "utf8").catch((error: unknown) => {
    const source = SOURCES[flag] === undefined ? "" : `; ${SOURCES[flag]}`;
    throw new InferenceError("NOT_FOUND", `${flag}: ${reasonOf(path, error)}${source}`);
  });
}

function reasonOf(path: string, error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return `there is no file '${path}'`;
  if (code === "EISDIR") return `'${path}' is a folder, name the file`;
  return `cannot read '${path}': ${error instanceof Error ? error.message : String(error)}`;
}
