/** Which class of calls each method belongs to, and who may call it (`--grpc-restricted-protocol`). */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Metadata } from "@grpc/grpc-js";
import { InferenceError } from "../../proto/errors.ts";
import type { Protocol, RequiredHeader } from "../options/restriction.ts";

const INFERENCE = "/inference.GRPCInferenceService/";
const HEALTH = "/grpc.health.v1.Health/";

/** Every method that may be served; a method without a class cannot be registered. */
const METHOD_CLASSES: ReadonlyMap<string, Protocol> = new Map([
  [`${INFERENCE}ServerLive`, "health"],
  [`${INFERENCE}ServerReady`, "health"],
  [`${INFERENCE}ModelReady`, "health"],
  [`${HEALTH}Check`, "health"],
  [`${HEALTH}List`, "health"],
  [`${HEALTH}Watch`, "health"],
  [`${INFERENCE}ServerMetadata`, "metadata"],
  [`${INFERENCE}ModelMetadata`, "metadata"],
  ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "metadata"],
  ["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "metadata"],
  [`${INFERENCE}ModelInfer`, "inference"],
  [`${INFERENCE}ModelStreamInfer`, "inference"],
  [`${INFERENCE}ModelConfig`, "model-config"],
  [`${INFERENCE}ModelStatistics`, "statistics"],
  [`${INFERENCE}RepositoryIndex`, "model-repository"],
  [`${INFERENCE}RepositoryModelLoad`, "model-repository"],
  [`${INFERENCE}RepositoryModelUnload`, "model-repository"],
  [`${INFERENCE}SystemSharedMemoryStatus`, "shared-memory"],
  [`${INFERENCE}SystemSharedMemoryRegister`, "shared-memory"],
  [`${INFERENCE}SystemSharedMemoryUnregister`, "shared-memory"],
  [`${INFERENCE}CudaSharedMemoryStatus`, "shared-memory"],
  [`${INFERENCE}CudaSharedMemoryRegister`, "shared-memory"],
  [`${INFERENCE}CudaSharedMemoryUnregister`, "shared-memory"],
  [`${INFERENCE}TraceSetting`, "trace"],
  [`${INFERENCE}LogSettings`, "logging"],
]);

/** Class of a method by its path; throws for a method that nobody classified, which must not be served. */
export function protocolOf(path: string): Protocol {
  const protocol = METHOD_CLASSES.get(path);
  if (protocol === undefined) {
    throw new InferenceError("INTERNAL", `method ${path} has no class in server/grpc/access.ts: refusing to serve it`);
  }
  return protocol;
}

/** Throws UNAVAILABLE with Triton's text unless the call carries the header exactly once with the right value. */
export function checkAccess(metadata: Metadata, required: RequiredHeader): void {
  const name = `triton-grpc-protocol-${required.key}`.toLowerCase();
  const values = metadata.get(name);
  if (values.length === 1 && isEqualSecret(String(values[0]), required.value)) return;
  throw new InferenceError("UNAVAILABLE", `This protocol is restricted, expecting header '${name}'`);
}

/** Compares in a time that depends on neither text. */
export function isEqualSecret(given: string, expected: string): boolean {
  return timingSafeEqual(sha256(given), sha256(expected));
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
