/** Reads class labels: one a line, in files beside the configuration. */
import { readFile, realpath, stat } from "node:fs/promises";
import { isAbsolute, join, sep } from "node:path";
import type { ModelConfig } from "./model-config.ts";
import { type Problem, problem } from "./problem.ts";

/** The largest vocabularies have some megabytes. */
const MAX_LABEL_BYTES = 16 * 1024 * 1024;

export interface Labels {
  /** By output name. */
  readonly labels: ReadonlyMap<string, readonly string[]>;
  readonly problems: readonly Problem[];
}

/** Reads the label files of a model directory; a file outside it is a problem, as is one that cannot be read. */
export async function readLabels(config: ModelConfig, directory: string): Promise<Labels> {
  const labels = new Map<string, readonly string[]>();
  const problems: Problem[] = [];
  for (const [i, output] of config.output.entries()) {
    if (output.label_filename === "") continue;
    const path = `output[${i}].label_filename`;
    const file = join(directory, output.label_filename);
    const subject = `label file '${output.label_filename}' of output '${output.name}' of model '${config.name}'`;
    try {
      const escaping = await escapeReason(output.label_filename, file, directory);
      if (escaping !== undefined) {
        problems.push(problem(path, `${subject} ${escaping}`, "move it into the model's directory"));
        continue;
      }
      const { size } = await stat(file);
      if (size > MAX_LABEL_BYTES) {
        problems.push(problem(path, `${subject} has ${size} bytes; the limit is ${MAX_LABEL_BYTES}`));
        continue;
      }
      labels.set(output.name, toLines(await readFile(file, "utf8")));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      problems.push(problem(path, `${subject} cannot be read: ${reason}`, `put the file at ${file}`));
    }
  }
  return { labels, problems };
}

async function escapeReason(name: string, file: string, directory: string): Promise<string | undefined> {
  if (isAbsolute(name) || name.split(/[\\/]/).includes("..")) return "escapes the model's directory";
  const target = await realpath(file);
  const isInside = target.startsWith((await realpath(directory)) + sep);
  return isInside ? undefined : `escapes the model's directory: it is a link to '${target}'`;
}

function toLines(text: string): string[] {
  const lines = text.split("\n").map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
}
