/** Loads the protocol's .proto files: as services for grpc-js, as descriptors for the text format. */
import { fileURLToPath } from "node:url";
import type { ServiceDefinition } from "@grpc/grpc-js";
import { loadSync, type PackageDefinition } from "@grpc/proto-loader";
import protobuf from "protobufjs";
import { InferenceError } from "./errors.ts";

export interface ProtocolServices {
  /** `inference.GRPCInferenceService`, messages as plain objects in snake_case; 64-bit integers and enums are strings. */
  readonly inference: ServiceDefinition;
  /** `grpc.health.v1.Health`. */
  readonly health: ServiceDefinition;
  /** Everything that was loaded; server reflection reads the file descriptors in it. */
  readonly packageDefinition: PackageDefinition;
}

const FILES = ["grpc_service.proto", "health.proto"];

/** Reads the .proto files beside the package; tens of milliseconds, so call it once per process. */
export function loadServices(): ProtocolServices {
  const packageDefinition = loadSync(FILES.map(protoPath), {
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  return {
    inference: serviceOf(packageDefinition, "inference.GRPCInferenceService"),
    health: serviceOf(packageDefinition, "grpc.health.v1.Health"),
    packageDefinition,
  };
}

/** The same files as reflection objects with resolved types: package `inference` with ModelConfig and every message. */
export function loadDescriptors(): protobuf.Root {
  const root = new protobuf.Root();
  root.loadSync(FILES.map(protoPath), { keepCase: true });
  root.resolveAll();
  return root;
}

/** `#protos/` is mapped in package.json, which lies above the sources and above dist/ alike. */
function protoPath(file: string): string {
  return fileURLToPath(import.meta.resolve(`#protos/${file}`));
}

function serviceOf(packageDefinition: PackageDefinition, name: string): ServiceDefinition {
  const definition = packageDefinition[name];
  if (definition === undefined || "format" in definition) {
    throw new InferenceError("INTERNAL", `the .proto files define no service ${name}: reinstall hybridserve`);
  }
  return definition;
}
