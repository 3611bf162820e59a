/** From a model's directory to its validated, completed and normalised configuration. */
import { readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { InferenceError } from "../../proto/errors.ts";
import { wantedVersions } from "../lifecycle.ts";
import { isVersionName } from "../repository-files.ts";
import { autoComplete, needsModel } from "./auto-complete.ts";
import { readLabels } from "./labels.ts";
import type { ModelConfig } from "./model-config.ts";
import { findModelFile, readModelFile } from "./model-file.ts";
import { completeBackend, normalise, normaliseInstanceGroups } from "./normalise.ts";
import { type ConfigSource, type Problem, problem, toError } from "./problem.ts";
import { readConfigFile, readConfigOverride, type WrittenConfig } from "./read-config.ts";
import { ineffectiveSettings } from "./served.ts";
import { checkConfig } from "./validate-config.ts";
import { checkInstanceGroups } from "./validate-instances.ts";
import { checkIo } from "./validate-io.ts";

export interface ResolveOptions {
  /** `<repository>/<model>`; its last part is the model's name. */
  readonly directory: string;
  /** `--model-config-name`: reads `configs/<name>.pbtxt` where that exists. */
  readonly configName?: string;
  /** The `config` parameter of a load request: a ModelConfig as JSON, which replaces the file. */
  readonly override?: string;
  /** Complete what is missing from the model file. */
  readonly autoComplete: boolean;
  /** `default-max-batch-size` of the backend: what a batchable model without a batch size gets. Triton's default: 4. */
  readonly defaultMaxBatchSize: number;
}

export interface ResolvedConfig extends ConfigSource {
  /** Validated and normalised. */
  readonly config: ModelConfig;
  /** Class labels by output name. */
  readonly labels: ReadonlyMap<string, readonly string[]>;
  /** Version directories found, ascending. */
  readonly versions: readonly number[];
  /** Settings that are accepted and have no effect here, and directories that are ignored: one sentence each. */
  readonly warnings: readonly string[];
}

/** A configuration with everything that is wrong with it. */
export interface Inspection extends ResolvedConfig {
  /** Empty: the configuration can be used. */
  readonly problems: readonly Problem[];
}

/**
 * Reads, completes and checks a configuration. Rejects with the first thing that is wrong, in Triton's words and with
 * ` (file:line)` where a line is to blame. The model file is read only where the configuration is incomplete; whether it
 * fits is `checkModelFile`'s business, version by version.
 */
export async function resolveModelConfig(options: ResolveOptions): Promise<ResolvedConfig> {
  const inspection = await inspectModelConfig(options);
  const [first] = inspection.problems;
  if (first !== undefined) throw toError(inspection, first);
  return inspection;
}

/** The same with all problems at once; rejects only for a configuration that cannot be read. */
export async function inspectModelConfig(options: ResolveOptions): Promise<Inspection> {
  const { directory } = options;
  const written =
    options.override === undefined
      ? await readConfigFile(directory, options.configName)
      : readConfigOverride(options.override);
  const listing = await listVersions(directory);
  const { versions } = listing;
  const newest = versions.at(-1);
  const versionFiles = new Set(newest === undefined ? [] : await namesIn(join(directory, String(newest))));
  const directoryName = basename(resolve(directory));
  const completed = normalise(completeBackend(written.config, { directoryName, versionFiles }));
  const base = { file: written.file, lineOf: written.lineOf, versions };
  const warnings = [...listing.warnings, ...ineffectiveSettings(completed)];
  const early = [...checkGiven(written, options), ...checkConfig(completed, directoryName)];
  if (early.length > 0) return { ...base, config: completed, labels: new Map(), warnings, problems: early };
  const filled = await fillIn(completed, options, versions);
  const config = normaliseInstanceGroups(normalise(filled.config));
  const { labels, problems: labelProblems } = await readLabels(config, directory);
  const problems = [
    ...filled.problems,
    ...(filled.problems.length > 0 ? [] : checkTensorsGiven(config)),
    ...checkIo(config),
    ...checkInstanceGroups(config),
    ...labelProblems,
  ];
  return { ...base, config, labels, warnings, problems };
}

/** Only an absent file can be completed, and only where completing is allowed. */
function checkGiven(written: WrittenConfig, options: ResolveOptions): Problem[] {
  if (written.isGiven || options.autoComplete) return [];
  const text = `failed to open text file for read ${written.file}: No such file or directory`;
  return [problem("", text, "write a config.pbtxt, or serve without --disable-auto-complete-config", "NOT_FOUND")];
}

/** Auto-completes an ONNX model from the version that will serve. */
async function fillIn(
  config: ModelConfig,
  options: ResolveOptions,
  versions: readonly number[],
): Promise<{ readonly config: ModelConfig; readonly problems: readonly Problem[] }> {
  const version = wantedVersions(config.version_policy, versions).at(-1);
  const isOnnx = config.backend === "onnxruntime";
  if (!isOnnx || !options.autoComplete || !needsModel(config) || version === undefined) return { config, problems: [] };
  try {
    const file = await findModelFile(config, join(options.directory, String(version)));
    return autoComplete(config, await readModelFile(file), options.defaultMaxBatchSize);
  } catch (error) {
    const { code, message } = InferenceError.from(error);
    return { config, problems: [problem("", message, "", code)] };
  }
}

/** Where no model file can say them, inputs and outputs must be written down. */
function checkTensorsGiven(config: ModelConfig): Problem[] {
  if (config.platform !== "ensemble" && !["cascade", "identity", "kserve"].includes(config.backend)) return [];
  return (["input", "output"] as const)
    .filter((field) => config[field].length === 0)
    .map((field) => {
      const text = `model '${config.name}' must list its ${field}s in config.pbtxt: no model file says them`;
      return problem(field, text, `add ${field} [ { name: ... data_type: ... dims: [ ... ] } ]`);
    });
}

/** Directories of a model that are no versions by design. */
const OTHER_DIRECTORIES: ReadonlySet<string> = new Set(["warmup", "initial_state", "configs"]);

async function listVersions(directory: string): Promise<{ versions: number[]; warnings: string[] }> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InferenceError("NOT_FOUND", `cannot read the model's directory '${directory}': ${reason}`);
  });
  // Links may lead to directories; those that are no versions may be anything.
  const names = entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink()).map((entry) => entry.name);
  const versions = names.filter(isVersionName).map(Number);
  const ignored = entries
    .filter((entry) => entry.isDirectory() && !isVersionName(entry.name) && !entry.name.startsWith("."))
    .map((entry) => entry.name)
    .filter((name) => !OTHER_DIRECTORIES.has(name));
  return {
    versions: versions.sort((a, b) => a - b),
    warnings: ignored.map((name) => `directory '${name}' is ignored: versions are integers > 0 without leading zeros`),
  };
}

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
