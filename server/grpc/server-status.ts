/** ServerLive, ServerReady, ModelReady, ServerMetadata and grpc.health.v1 Check. */
import type { ServedRepository, ServerHealth } from "../served-repository.ts";

/** The Triton release whose behaviour this server follows; clients parse it. */
export const TRITON_VERSION = "2.73.0";

/** Triton's names, in its order, of what is served; perf_analyzer looks for `statistics`. */
const EXTENSIONS = [
  "model_repository",
  "model_repository(unload_dependents)",
  "model_configuration",
  "binary_tensor_data",
  "parameters",
  "statistics",
];

export interface ModelRequest {
  readonly name: string;
  /** "": the highest ready version. */
  readonly version: string;
}

export function serverLive(health: ServerHealth): { live: boolean } {
  return { live: health.isLive() };
}

export function serverReady(health: ServerHealth): { ready: boolean } {
  return { ready: health.isReady() };
}

/** False, not an error, for a model that is unknown: existing clients expect it. */
export function modelReady(
  repository: Pick<ServedRepository, "isModelReady">,
  request: ModelRequest,
): { ready: boolean } {
  return { ready: repository.isModelReady(request.name, request.version) };
}

export interface ServerMetadata {
  readonly name: string;
  readonly version: string;
  readonly extensions: readonly string[];
}

export function serverMetadata(id: string): ServerMetadata {
  return { name: id, version: TRITON_VERSION, extensions: EXTENSIONS };
}

/** Ignores the request's `service`, as Triton. */
export function healthCheck(health: ServerHealth): { status: "SERVING" | "NOT_SERVING" } {
  return { status: health.isReady() ? "SERVING" : "NOT_SERVING" };
}
