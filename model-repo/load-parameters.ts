/** Parameters of load and unload requests, checked with Triton's texts (grpc_server.cc). */
import { InferenceError } from "../proto/errors.ts";
import type { RepositoryParameter, RepositoryParameters } from "./repository-types.ts";

/** What a load request puts in place of the files on disk. */
export interface LoadOverride {
  /** A ModelConfig as JSON; undefined: config.pbtxt as it is. */
  readonly config: string | undefined;
  /** Contents by `<version>/<name>`. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** undefined where the request overrides nothing. */
export function parseLoadParameters(parameters: RepositoryParameters): LoadOverride | undefined {
  let config: string | undefined;
  const files = new Map<string, Uint8Array>();
  for (const [key, parameter] of parameters) {
    if (key === "config") {
      if (parameter.kind !== "string") throw wrongType(`load parameter '${key}', expected string_param.`);
      config = parameter.value;
    } else if (key.startsWith("file:")) {
      if (parameter.kind !== "bytes") throw wrongType(`load parameter '${key}', expected bytes_param.`);
      files.set(key.slice("file:".length), parameter.value);
    } else {
      throw new InferenceError("INVALID_ARGUMENT", `unrecognized load parameter '${key}'.`);
    }
  }
  return config === undefined && files.size === 0 ? undefined : { config, files };
}

/** The `unload_dependents` parameter: also unload what only this model needed. */
export function parseUnloadParameters(parameters: RepositoryParameters): boolean {
  const parameter: RepositoryParameter | undefined = parameters.get("unload_dependents");
  if (parameter === undefined) return false;
  if (parameter.kind !== "bool") throw wrongType("'unload_dependents' parameter, expected bool_param.");
  return parameter.value;
}

/** Triton's checks of a name to load (model_repository_manager.cc:76,84). */
export function checkLoadName(name: string): void {
  const trimmed = name.trim();
  if (trimmed === "") {
    throw new InferenceError("INVALID_ARGUMENT", "Model name cannot be empty. Please enter a valid name to deploy.");
  }
  if (trimmed === ".." || name.includes("/")) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `invalid model name '${name}', model name must not contain path traversal characters`,
    );
  }
}

function wrongType(what: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", `invalid value type for ${what}`);
}
