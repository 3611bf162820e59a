/** Checks of a normalised configuration that need no model file, in Triton's order and words. */
import type { ModelConfig } from "./model-config.ts";
import { type Problem, problem } from "./problem.ts";
import { checkEnsemble } from "./validate-ensemble.ts";
import { checkDynamicBatching, checkSequenceBatching } from "./validate-scheduling.ts";

/** Triton's own backends that have a platform of their own, with the platforms each of them takes. */
const PLATFORMS: ReadonlyMap<string, readonly string[]> = new Map([
  ["onnxruntime", ["onnxruntime_onnx"]],
  ["tensorrt", ["tensorrt_plan"]],
  ["tensorflow", ["tensorflow_graphdef", "tensorflow_savedmodel"]],
  ["pytorch", ["pytorch_libtorch", "torch_aoti"]],
]);

/** Problems of everything but inputs, outputs and instance groups: what Triton checks when it reads the file. */
export function checkConfig(config: ModelConfig, directoryName: string): Problem[] {
  return [
    ...checkName(config, directoryName),
    ...checkBackend(config),
    ...checkBasics(config),
    ...checkDynamicBatching(config),
    ...checkSequenceBatching(config),
    ...checkEnsemble(config),
    ...checkDecoupled(config),
  ];
}

function checkName(config: ModelConfig, directoryName: string): Problem[] {
  if (config.name === directoryName) return [];
  const text =
    `unexpected directory name '${directoryName}' for model '${config.name}', ` +
    "directory name must equal model name";
  return [problem("name", text, `rename the directory, or remove 'name' from the configuration`)];
}

function checkBackend(config: ModelConfig): Problem[] {
  const { name, platform, backend } = config;
  if (platform === "ensemble") {
    if (backend === "") return [];
    const text = `Ensemble model '${name}' must have platform type 'ensemble' and empty backend type`;
    return [problem("backend", text)];
  }
  if (backend === "" && platform === "" && config.default_model_filename === "") {
    const text =
      `Invalid model name: Could not determine backend for model '${name}' with no backend in model configuration. ` +
      "Expected model name of the form 'model.<backend_name>'.";
    return [problem("", text, "put the model at <version>/model.onnx, or name the backend in config.pbtxt")];
  }
  if (backend === "") return [problem("platform", `unexpected platform type '${platform}' for ${name}`)];
  const allowed = PLATFORMS.get(backend);
  if (allowed === undefined || allowed.includes(platform)) return [];
  const text = `unexpected 'platform' and 'backend' pair, got:${platform}, ${backend}`;
  return [problem("platform", text, `for backend '${backend}' leave platform out, or write "${allowed[0]}"`)];
}

function checkBasics(config: ModelConfig): Problem[] {
  const { name } = config;
  const problems: Problem[] = [];
  if (config.max_batch_size < 0) {
    problems.push(problem("max_batch_size", `'max_batch_size' must be non-negative value for ${name}`));
  }
  const { latest, specific } = config.version_policy;
  if (latest?.num_versions === 0) {
    problems.push(
      problem("version_policy", `'version_policy' must keep at least one version for ${name}`, "set num_versions >= 1"),
    );
  }
  const invalid = specific?.versions.find((version) => version < 1);
  if (invalid !== undefined) {
    const text = `'version_policy' names version ${invalid} for ${name}; versions are integers > 0`;
    problems.push(problem("version_policy.specific", text));
  }
  if (/[\\/]|^\.\.?$/.test(config.default_model_filename) || config.default_model_filename.includes("\0")) {
    const text = `'default_model_filename' must be a plain file name for ${name}, got '${config.default_model_filename}'`;
    problems.push(problem("default_model_filename", text));
  }
  return problems;
}

function checkDecoupled(config: ModelConfig): Problem[] {
  if (config.model_transaction_policy?.decoupled !== true || config.response_cache?.enable !== true) return [];
  const text =
    `Response Cache does not currently support model ${config.name} with 'decoupled' transaction policy. ` +
    "Please disable the response cache.";
  return [problem("response_cache", text)];
}
