/** Reads a model's configuration as it was written: a file, a JSON override, or nothing at all. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { InferenceError } from "../../proto/errors.ts";
import { parseJsonProto } from "../../proto/json-format.ts";
import { loadDescriptors } from "../../proto/load.ts";
import { parseTextProto } from "../../proto/text-format.ts";
import type { ModelConfig } from "./model-config.ts";
import type { ConfigSource } from "./problem.ts";

/** Larger than any configuration that a person or a generator writes. */
const MAX_CONFIG_BYTES = 1024 * 1024;

export interface WrittenConfig extends ConfigSource {
  /** Complete in its fields, but neither normalised nor validated. */
  readonly config: ModelConfig;
  /** Whether there was anything to read. */
  readonly isGiven: boolean;
}

const MODEL_CONFIG = loadDescriptors().lookupType("inference.ModelConfig");

/**
 * Reads `configs/<configName>.pbtxt` where that is asked for and exists, else `config.pbtxt`; without either the
 * configuration is empty. Throws INVALID_ARGUMENT with file and line for what cannot be parsed.
 */
export async function readConfigFile(directory: string, configName: string | undefined): Promise<WrittenConfig> {
  const candidates = [join(directory, "config.pbtxt")];
  if (configName !== undefined && configName !== "")
    candidates.unshift(join(directory, "configs", `${configName}.pbtxt`));
  for (const file of candidates) {
    const text = await readText(file);
    if (text === undefined) continue;
    const { message, lineOf } = parseTextProto(MODEL_CONFIG, text, file);
    return { config: toModelConfig(message), file, lineOf, isGiven: true };
  }
  const file = join(directory, "config.pbtxt");
  return { config: toModelConfig(MODEL_CONFIG_DEFAULTS), file, lineOf: () => undefined, isGiven: false };
}

/** Parses the `config` parameter of a load request, which stands in for the file. */
export function readConfigOverride(json: string): WrittenConfig {
  const subject = "Invalid config override";
  if (Buffer.byteLength(json) > MAX_CONFIG_BYTES) {
    throw new InferenceError("INVALID_ARGUMENT", `${subject}: it is larger than ${MAX_CONFIG_BYTES} bytes`);
  }
  const message = parseJsonProto(MODEL_CONFIG, json, subject);
  return { config: toModelConfig(message), file: "the config override", lineOf: () => undefined, isGiven: true };
}

const MODEL_CONFIG_DEFAULTS = parseJsonProto(MODEL_CONFIG, "{}", "");

/** The descriptor says what the type repeats: names, kinds and defaults of all fields; only the policy may be missing. */
function toModelConfig(message: Readonly<Record<string, unknown>>): ModelConfig {
  return { version_policy: {}, ...message } as unknown as ModelConfig;
}

/** A text of at most MAX_CONFIG_BYTES; undefined where there is no such file. */
async function readText(file: string): Promise<string | undefined> {
  try {
    const { size } = await stat(file);
    if (size > MAX_CONFIG_BYTES) {
      throw new InferenceError("INVALID_ARGUMENT", `${file} has ${size} bytes; the limit is ${MAX_CONFIG_BYTES}`);
    }
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof InferenceError) throw error;
    const isMissing =
      error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
    if (isMissing) return undefined;
    throw new InferenceError("UNAVAILABLE", `cannot read ${file}: ${error instanceof Error ? error.message : error}`);
  }
}
