/** What travels between the protocol and the schedulers: one request, one response, in domain terms. */
import type { Tensor } from "./tensor.ts";

/** A request, response, input or output parameter (`inference.InferParameter`). */
export type Parameter =
  | { readonly kind: "bool"; readonly value: boolean }
  | { readonly kind: "int64"; readonly value: bigint }
  | { readonly kind: "uint64"; readonly value: bigint }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "double"; readonly value: number };

export type Parameters = ReadonlyMap<string, Parameter>;

/** Shared by every request without parameters. */
export const NO_PARAMETERS: Parameters = new Map();

/** An output that the client asked for by name. */
export interface RequestedOutput {
  readonly name: string;
  /** `classification`, `shared_memory_*`. */
  readonly parameters: Parameters;
}

export interface InferenceRequest {
  readonly modelName: string;
  /** As asked; "" lets the version policy choose. */
  readonly modelVersion: string;
  /** Echoed in the response; "" when the client gave none. */
  readonly id: string;
  readonly parameters: Parameters;
  readonly inputs: readonly Tensor[];
  /** Empty: every output of the model. */
  readonly requestedOutputs: readonly RequestedOutput[];
  /** The server itself asks, to check a model: such requests are in no statistics. Absent: somebody's request. */
  readonly isProbe?: true;
}

export interface InferenceResponse {
  readonly modelName: string;
  /** The version that answered, never "". */
  readonly modelVersion: string;
  readonly id: string;
  readonly parameters: Parameters;
  readonly outputs: readonly Tensor[];
}

/** The prefix Triton puts before most texts about one request. */
export function requestIdPrefix(id: string): string {
  return `[request id: ${id === "" ? "<id_unknown>" : id}] `;
}
