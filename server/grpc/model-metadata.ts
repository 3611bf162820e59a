/** ModelMetadata and ModelConfig: what a model takes and gives, and how it is configured. */
import type { ModelConfig } from "../../model-repo/config/model-config.ts";
import { type ModelSignature, type TensorSpec, wireShape } from "../../scheduler/signature.ts";
import type { ServedRepository } from "../served-repository.ts";
import type { ModelRequest } from "./server-status.ts";

export interface TensorMetadata {
  readonly name: string;
  readonly datatype: string;
  /** With a leading -1 where the model batches. */
  readonly shape: readonly number[];
}

export interface ModelMetadata {
  readonly name: string;
  /** Every ready version, or only the one that was asked for. */
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly TensorMetadata[];
}

/** Throws Triton's lookup texts. */
export function modelMetadata(
  repository: Pick<ServedRepository, "find" | "readyVersions">,
  request: ModelRequest,
): ModelMetadata {
  const { model, config, version } = repository.find(request.name, request.version);
  const { signature } = model;
  return {
    name: signature.name,
    versions: request.version === "" ? repository.readyVersions(request.name) : [version],
    platform: config.platform === "" ? config.backend : config.platform,
    inputs: signature.inputs.map((spec) => tensorMetadata(signature, spec)),
    outputs: signature.outputs.map((spec) => tensorMetadata(signature, spec)),
  };
}

/** Throws Triton's lookup texts. */
export function modelConfig(
  repository: Pick<ServedRepository, "config">,
  request: ModelRequest,
): { config: ModelConfig } {
  return { config: repository.config(request.name, request.version) };
}

function tensorMetadata(signature: ModelSignature, spec: TensorSpec): TensorMetadata {
  return { name: spec.name, datatype: spec.datatype, shape: wireShape(signature, spec) };
}
