/** Which function answers which RPC. */
import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { InferenceError } from "../../proto/errors.ts";
import { loadServices } from "../../proto/load.ts";
import { withMapEntryNames } from "../../proto/map-entry-names.ts";
import type { ServerLog } from "../log.ts";
import type { ServedRepository, ServerHealth } from "../served-repository.ts";
import { deserializeInferRequest, modelInfer, serializeInferResponse } from "./model-infer.ts";
import { modelConfig, modelMetadata } from "./model-metadata.ts";
import { modelStatistics } from "./model-statistics.ts";
import type { InferStreams } from "./model-stream-infer.ts";
import { type IndexRequest, type LoadRequest, loadModel, repositoryIndex, unloadModel } from "./repository-control.ts";
import {
  healthCheck,
  type ModelRequest,
  modelReady,
  serverLive,
  serverMetadata,
  serverReady,
} from "./server-status.ts";
import { type Report, type ServiceRegistry, type UnaryFunction, unary } from "./service-registry.ts";
import {
  logSettings,
  type RegionRequest,
  registerSharedMemory,
  sharedMemoryStatus,
  traceSetting,
  unregisterSharedMemory,
} from "./unavailable-extensions.ts";

/** What the RPCs answer from. */
export interface GrpcServerContext {
  readonly id: string;
  readonly repository: ServedRepository;
  readonly health: ServerHealth;
  readonly allowClientSharedMemory: boolean;
  readonly log: ServerLog;
}

/** Adds every service; a method that nobody classified stops the start. */
export function addServices(registry: ServiceRegistry, context: GrpcServerContext, streams: InferStreams): void {
  const { inference, health, packageDefinition } = loadServices();
  const report = reporter(context.log);
  registry.addService(withInferCodec(inference), inferenceService(context, streams, report));
  registry.addService(health, { Check: unary(() => healthCheck(context.health), report) });
  new ReflectionService(withMapEntryNames(packageDefinition)).addToServer(registry);
}

/** An error that is no InferenceError is a fault of ours: the log gets it whole, the client no internals. */
export function reporter(log: ServerLog): Report {
  return (error) => {
    if (error instanceof InferenceError) return error;
    const stack = error instanceof Error ? error.stack : undefined;
    log.error({ error: String(error), stack }, "unexpected error while answering a request");
    return new InferenceError("INTERNAL", "unexpected error in the server; its log has the details");
  };
}

/** Inference messages go through our own codec instead of proto-loader's. */
function withInferCodec(definition: ServiceDefinition): ServiceDefinition {
  const own = { requestDeserialize: deserializeInferRequest, responseSerialize: serializeInferResponse };
  return Object.fromEntries(
    Object.entries(definition).map(([name, method]) => {
      const isInfer = name === "ModelInfer" || name === "ModelStreamInfer";
      return [name, isInfer ? { ...method, ...own } : method];
    }),
  );
}

function inferenceService(
  { repository, health, id, allowClientSharedMemory: shm }: GrpcServerContext,
  streams: InferStreams,
  report: Report,
): UntypedServiceImplementation {
  const rpc = <Request, Answer>(answer: UnaryFunction<Request, Answer>) => unary(answer, report);
  return {
    ServerLive: rpc(() => serverLive(health)),
    ServerReady: rpc(() => serverReady(health)),
    ModelReady: rpc((request: ModelRequest) => modelReady(repository, request)),
    ServerMetadata: rpc(() => serverMetadata(id)),
    ModelMetadata: rpc((request: ModelRequest) => modelMetadata(repository, request)),
    ModelConfig: rpc((request: ModelRequest) => modelConfig(repository, request)),
    ModelInfer: modelInfer(repository, report),
    ModelStreamInfer: streams.handle,
    ModelStatistics: rpc((request: ModelRequest) => modelStatistics(repository, request)),
    RepositoryIndex: rpc((request: IndexRequest) => repositoryIndex(repository, request)),
    RepositoryModelLoad: rpc((request: LoadRequest) => loadModel(repository, request)),
    RepositoryModelUnload: rpc((request: LoadRequest) => unloadModel(repository, request)),
    SystemSharedMemoryStatus: rpc((request: RegionRequest) => sharedMemoryStatus("system", request)),
    SystemSharedMemoryRegister: rpc((request: RegionRequest) => registerSharedMemory("system", shm, request)),
    SystemSharedMemoryUnregister: rpc(unregisterSharedMemory),
    CudaSharedMemoryStatus: rpc((request: RegionRequest) => sharedMemoryStatus("cuda", request)),
    CudaSharedMemoryRegister: rpc((request: RegionRequest) => registerSharedMemory("cuda", shm, request)),
    CudaSharedMemoryUnregister: rpc(unregisterSharedMemory),
    TraceSetting: rpc(traceSetting),
    LogSettings: rpc(logSettings),
  };
}
