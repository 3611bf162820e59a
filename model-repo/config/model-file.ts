/** The model file of a version: where it lies and whether it fits its configuration. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { InferenceError } from "../../proto/errors.ts";
import { checkExternalData } from "../../proto/onnx/external-data.ts";
import type { OnnxModel } from "../../proto/onnx/model.ts";
import { readModel } from "../../proto/onnx/read-model.ts";
import { checkOnnx } from "./check-onnx.ts";
import type { ModelConfig } from "./model-config.ts";
import { type ConfigSource, type Problem, problem, throwFirst } from "./problem.ts";

/**
 * The file of a version directory, or the one inside the directory of that name (a model with external data).
 * UNAVAILABLE where there is none.
 */
export async function findModelFile(config: ModelConfig, versionDirectory: string): Promise<string> {
  const path = join(versionDirectory, config.default_model_filename || "model.onnx");
  for (const candidate of [path, join(path, "model.onnx")]) {
    const found = await stat(candidate).catch(() => undefined);
    if (found?.isFile() === true) return candidate;
  }
  // Triton's name of the first instance.
  const instance = `${config.instance_group[0]?.name ?? config.name}_0`;
  throw new InferenceError("UNAVAILABLE", `unable to find '${path}' for model instance '${instance}'`);
}

/** Reads an ONNX file without its weights, and checks where its weights lie. */
export async function readModelFile(file: string): Promise<OnnxModel> {
  const model = await readModel(file);
  await checkExternalData(model, file);
  return model;
}

/** Everything that keeps the ONNX file of a version from serving under a configuration. */
export async function findModelProblems(config: ModelConfig, versionDirectory: string): Promise<Problem[]> {
  try {
    return checkOnnx(config, await readModelFile(await findModelFile(config, versionDirectory)));
  } catch (error) {
    const { code, message } = InferenceError.from(error);
    return [problem("", message, "", code)];
  }
}

/** Throws the first reason why a version's ONNX file cannot serve under a configuration. */
export async function checkModelFile(
  resolved: ConfigSource & { readonly config: ModelConfig },
  versionDirectory: string,
): Promise<void> {
  throwFirst(resolved, await findModelProblems(resolved.config, versionDirectory));
}
