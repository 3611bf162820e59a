/** RepositoryIndex, RepositoryModelLoad and RepositoryModelUnload. */
import type { IndexEntry, RepositoryParameter, RepositoryParameters } from "../../model-repo/repository-types.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { ServedRepository } from "../served-repository.ts";

/** `inference.ModelRepositoryParameter` as proto-loader decodes it. */
export interface WireRepositoryParameter {
  readonly parameter_choice?: string;
  readonly bool_param?: boolean;
  /** Decimal text. */
  readonly int64_param?: string;
  readonly string_param?: string;
  readonly bytes_param?: Uint8Array;
}

export interface LoadRequest {
  readonly repository_name: string;
  readonly model_name: string;
  readonly parameters: Readonly<Record<string, WireRepositoryParameter>>;
}

export interface IndexRequest {
  readonly repository_name: string;
  readonly ready: boolean;
}

type Control = Pick<ServedRepository, "index" | "load" | "unload">;

export async function repositoryIndex(repository: Control, request: IndexRequest): Promise<{ models: IndexEntry[] }> {
  checkRepositoryName(request.repository_name);
  return { models: await repository.index(request.ready) };
}

/** Answers once the model is loaded; throws Triton's texts. */
export async function loadModel(repository: Control, request: LoadRequest): Promise<object> {
  checkRepositoryName(request.repository_name);
  await repository.load(request.model_name, toParameters(request.parameters));
  return {};
}

export async function unloadModel(repository: Control, request: LoadRequest): Promise<object> {
  checkRepositoryName(request.repository_name);
  await repository.unload(request.model_name, toParameters(request.parameters));
  return {};
}

function checkRepositoryName(name: string): void {
  if (name === "") return;
  throw new InferenceError("UNIMPLEMENTED", "'repository_name' specification is not supported");
}

/** A parameter without a value counts as the empty string: no parameter takes that. */
function toParameters(wire: Readonly<Record<string, WireRepositoryParameter>>): RepositoryParameters {
  return new Map(Object.entries(wire).map(([key, parameter]) => [key, toParameter(parameter)]));
}

function toParameter(wire: WireRepositoryParameter): RepositoryParameter {
  switch (wire.parameter_choice) {
    case "bool_param":
      return { kind: "bool", value: wire.bool_param ?? false };
    case "int64_param":
      return { kind: "int64", value: BigInt(wire.int64_param ?? 0) };
    case "bytes_param":
      return { kind: "bytes", value: wire.bytes_param ?? new Uint8Array() };
    default:
      return { kind: "string", value: wire.string_param ?? "" };
  }
}
