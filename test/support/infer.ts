/** Asks a server of the protocol, as a client with our codec would. */
import { Client, credentials } from "@grpc/grpc-js";
import { decodeInferResponse } from "../../proto/codec/decode-response.ts";
import { encodeInferRequest } from "../../proto/codec/encode-request.ts";
import { type InferenceRequest, type InferenceResponse, NO_PARAMETERS } from "../../proto/inference.ts";
import type { Tensor } from "../../proto/tensor.ts";

const DEADLINE_MS = 30_000;

export class InferClient {
  readonly #client: Client;

  constructor(port: number) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  }

  /** Sends the inputs to the model's newest version and asks for every output. */
  infer(modelName: string, inputs: readonly Tensor[]): Promise<InferenceResponse> {
    const request = { modelName, modelVersion: "", id: "", parameters: NO_PARAMETERS, inputs, requestedOutputs: [] };
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest<InferenceRequest, InferenceResponse>(
        "/inference.GRPCInferenceService/ModelInfer",
        encodeInferRequest,
        decodeInferResponse,
        request,
        { deadline: Date.now() + DEADLINE_MS },
        (error, response) => {
          if (response === undefined) reject(error);
          else resolve(response);
        },
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}
