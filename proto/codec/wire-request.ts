/** A ModelInferRequest as it arrived: decoded and within the wire limits, not yet checked against any model. */
import type { Parameters, RequestedOutput } from "../inference.ts";

/** An input of a request, or an output of a response: both messages have the same fields. */
export interface WireTensor {
  readonly name: string;
  /** As sent; may name no datatype. */
  readonly datatype: string;
  /** As sent: dimensions may be negative, each is a safe integer. */
  readonly shape: readonly number[];
  readonly parameters: Parameters;
  /**
   * Typed contents, still encoded (`inference.InferTensorContents`): views on the received message. Empty when the
   * field is absent; several pieces, to be read as one, when the sender split it.
   */
  readonly contents: readonly Uint8Array[];
}

export interface WireInferRequest {
  readonly modelName: string;
  /** As asked; "" lets the version policy choose. */
  readonly modelVersion: string;
  readonly id: string;
  readonly parameters: Parameters;
  readonly inputs: readonly WireTensor[];
  readonly requestedOutputs: readonly RequestedOutput[];
  /** Views on the received message, one per input that has neither typed contents nor shared memory. */
  readonly rawInputContents: readonly Uint8Array[];
}
