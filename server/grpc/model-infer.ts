/** ModelInfer: from the decoded message to the model and back to wire bytes. */
import type { ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { decodeInferRequest } from "../../proto/codec/decode-request.ts";
import { InferResponseMessage, type WireMessage } from "../../proto/codec/encode-response.ts";
import { checkRequestParameters } from "../../proto/codec/request-parameters.ts";
import { toInferenceRequest } from "../../proto/codec/resolve-inputs.ts";
import type { WireInferRequest } from "../../proto/codec/wire-request.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { InferenceResponse } from "../../proto/inference.ts";
import { TRITON_LIMITS } from "../../proto/limits.ts";
import type { Cancellation } from "../../scheduler/cancellation.ts";
import type { Model } from "../../scheduler/model.ts";
import { CallDeadline } from "./call-deadline.ts";
import { grpcError } from "./grpc-error.ts";
import type { Report } from "./service-registry.ts";

/** Where requests find their model; throws Triton's lookup texts. */
export interface ModelSource {
  lookup(name: string, version: string): Model;
}

/** A received message, or why it could not be decoded: grpc-js would turn a thrown error into INTERNAL. */
export type InferMessage = WireInferRequest | InferenceError;

/** grpc-js' `requestDeserialize` of ModelInfer and ModelStreamInfer; never throws. */
export function deserializeInferRequest(bytes: Buffer): InferMessage {
  try {
    return decodeInferRequest(bytes, TRITON_LIMITS);
  } catch (error) {
    return InferenceError.from(error);
  }
}

/**
 * grpc-js' `responseSerialize`. Of what it returns grpc-js reads `byteLength` and calls `copy`, to put the message behind
 * its five bytes of framing: ours writes itself there, which saves a buffer and a copy a response.
 */
export function serializeInferResponse(message: WireMessage): Buffer {
  return message as unknown as Buffer; // see above: the two members that grpc-js uses are there
}

/** Messages from this size on have memory of their own (Node shares its pool only among smaller buffers). */
const OWN_MEMORY_BYTES = 65_536;

/**
 * Gives the memory of a large request back at once, now that it is answered and the answer, which may be views on it,
 * has been copied into its frame. Left to the garbage collector, such memory makes it run every few requests. (grpc-js joins every message into memory of its own.)
 */
function releaseMemory(message: InferMessage): void {
  if (message instanceof InferenceError) return;
  for (const { buffer } of message.rawInputContents) {
    if (buffer instanceof ArrayBuffer && buffer.byteLength >= OWN_MEMORY_BYTES) buffer.transfer(0);
  }
}

/** Runs one request in Triton's order of checks; throws or rejects with an InferenceError. */
export function infer(
  models: ModelSource,
  message: InferMessage,
  cancellation: Cancellation,
): Promise<InferenceResponse> {
  if (message instanceof InferenceError) throw message;
  const model = models.lookup(message.modelName, message.modelVersion);
  checkRequestParameters(message.parameters);
  const expectedDatatype = (name: string) => model.signature.inputs.find((spec) => spec.name === name)?.datatype;
  return model.infer(toInferenceRequest(message, expectedDatatype), cancellation);
}

/** The handler of unary ModelInfer. `report` sees every failure and returns what the client shall read. */
export function modelInfer(
  models: ModelSource,
  report: Report,
): (call: ServerUnaryCall<InferMessage, WireMessage>, callback: sendUnaryData<WireMessage>) => void {
  return (call, callback) => {
    const deadline = new CallDeadline(call.getDeadline());
    const cancellation = deadline.cancellation();
    let isAnswered = false;
    const fail = (error: unknown) => {
      isAnswered = true;
      callback(grpcError(report(error)));
    };
    // grpc-js also emits "cancelled" after every answer.
    call.on("cancelled", () => {
      if (!isAnswered) cancellation.cancel(deadline.cancelReason());
    });
    const answer = (response: InferenceResponse) => {
      let message: WireMessage;
      try {
        message = new InferResponseMessage(response);
      } catch (error) {
        fail(error);
        return;
      }
      isAnswered = true;
      callback(null, message);
      if (message.isWritten) releaseMemory(call.request);
    };
    try {
      infer(models, call.request, cancellation).then(answer, fail);
    } catch (error) {
      fail(error);
    }
  };
}
