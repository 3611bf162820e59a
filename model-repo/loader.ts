/** From a resolved configuration to a running model: picks the backend and refuses what cannot run here, saying why. */
import { InferenceError } from "../proto/errors.ts";
import type { Model } from "../scheduler/model.ts";
import type { Backend, LoadContext } from "./backends/backend.ts";
import { cascadeBackend } from "./backends/cascade.ts";
import { identityBackend } from "./backends/identity.ts";
import { kserveBackend } from "./backends/kserve.ts";
import { onnxBackend } from "./backends/onnx.ts";
import type { ModelConfig } from "./config/model-config.ts";
import { throwFirst } from "./config/problem.ts";
import { type ServedBackend, unservedFeatures } from "./config/served.ts";

const BACKENDS: Readonly<Record<ServedBackend, Backend>> = {
  onnxruntime: onnxBackend,
  cascade: cascadeBackend,
  identity: identityBackend,
  kserve: kserveBackend,
};

/** Loads one version of a model; rejects with the reason why it cannot be served. */
export async function loadModel(context: LoadContext): Promise<Model> {
  const { resolved, log } = context;
  const { config } = resolved;
  throwFirst(resolved, unservedFeatures(config));
  const backend = backendOf(config);
  if (backend === undefined)
    throw new InferenceError("INTERNAL", `backend '${config.backend}' passed for a served one`);
  for (const text of resolved.warnings) log.warn({ model: config.name }, `model '${config.name}': ${text}`);
  return backend.load(context);
}

/** Models that one version of a model is made of, each once; empty where it stands alone. */
export async function modelDependencies(config: ModelConfig, versionDirectory: string): Promise<string[]> {
  return (await backendOf(config)?.dependencies?.(versionDirectory)) ?? [];
}

function backendOf(config: ModelConfig): Backend | undefined {
  return Object.entries(BACKENDS).find(([name]) => name === config.backend)?.[1];
}
