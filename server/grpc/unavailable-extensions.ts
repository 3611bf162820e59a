/** Shared memory, trace and log settings: not available yet, answered in Triton's words and truthfully. */
import { InferenceError } from "../../proto/errors.ts";

export interface RegionRequest {
  /** "": all regions. */
  readonly name: string;
}

export interface SettingsRequest {
  readonly settings: Readonly<Record<string, unknown>>;
}

/** No region is ever registered. */
export function sharedMemoryStatus(kind: "system" | "cuda", request: RegionRequest): { regions: object } {
  if (request.name === "") return { regions: {} };
  throw new InferenceError("NOT_FOUND", `Unable to find ${kind} shared memory region: '${request.name}'`);
}

/** Unregistering what is not registered is not an error; perf_analyzer and the examples start with it. */
export function unregisterSharedMemory(): object {
  return {};
}

export function registerSharedMemory(kind: "system" | "cuda", allowed: boolean, request: RegionRequest): never {
  if (!allowed) {
    const text = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.";
    throw new InferenceError("UNIMPLEMENTED", text);
  }
  if (kind === "cuda") {
    const text = `failed to register CUDA shared memory region: '${request.name}', GPUs not supported`;
    throw new InferenceError("INVALID_ARGUMENT", text);
  }
  throw new InferenceError("UNIMPLEMENTED", "shared memory is not available yet: send the tensors in the request");
}

export function traceSetting(request: SettingsRequest): never {
  if (Object.hasOwn(request.settings, "trace_file")) {
    throw new InferenceError("UNIMPLEMENTED", "trace file location can not be updated through network protocol");
  }
  throw new InferenceError("UNIMPLEMENTED", "the server does not support trace");
}

export function logSettings(request: SettingsRequest): never {
  if (Object.hasOwn(request.settings, "log_file")) {
    throw new InferenceError("UNIMPLEMENTED", "log file location can not be updated through network protocol");
  }
  throw new InferenceError("UNIMPLEMENTED", "the server does not support dynamic logging settings");
}
