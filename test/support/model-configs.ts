/** Configurations for tests, read from text as the server reads them. */
import type { ModelConfig } from "../../model-repo/config/model-config.ts";
import { completeBackend, normalise, normaliseInstanceGroups } from "../../model-repo/config/normalise.ts";
import { loadDescriptors } from "../../proto/load.ts";
import { parseTextProto } from "../../proto/text-format.ts";

const MODEL_CONFIG = loadDescriptors().lookupType("inference.ModelConfig");

export interface ReadConfig {
  readonly config: ModelConfig;
  readonly lineOf: (path: string) => number | undefined;
}

/** The configuration as it is written. */
export function readWritten(text: string): ReadConfig {
  const { message, lineOf } = parseTextProto(MODEL_CONFIG, text, "config.pbtxt");
  return { config: { version_policy: {}, ...message } as unknown as ModelConfig, lineOf };
}

/** The configuration of a model named M, completed and normalised; no model file is looked at. */
export function readConfig(text: string): ReadConfig {
  const { config, lineOf } = readWritten(text);
  const completed = completeBackend(config, { directoryName: "M", versionFiles: new Set() });
  return { config: normaliseInstanceGroups(normalise(completed)), lineOf };
}
