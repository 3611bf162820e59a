/** One call in flight to a remote model: a batch goes out as one ModelInfer. */
import { encodeInferRequest } from "../../proto/codec/encode-request.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Cancellation } from "../../scheduler/cancellation.ts";
import type { Clock } from "../../scheduler/clock.ts";
import type { ExecutedBatch, ModelInstance } from "../../scheduler/instance.ts";
import type { ModelSignature } from "../../scheduler/signature.ts";
import { mergeRequests, requestedNames, rowsOf, scatterResponse } from "./kserve-batch.ts";
import type { KserveRemote } from "./kserve-remote.ts";

export interface KserveInstanceOptions {
  readonly name: string;
  readonly signature: ModelSignature;
  /** The model's name and version there. */
  readonly remoteModel: { readonly model: string; readonly version: string };
  readonly remote: KserveRemote;
  readonly clock: Clock;
}

export class KserveInstance implements ModelInstance {
  readonly name: string;
  readonly #options: KserveInstanceOptions;

  constructor(options: KserveInstanceOptions) {
    this.name = options.name;
    this.#options = options;
  }

  async execute(requests: readonly InferenceRequest[], cancellation?: Cancellation): Promise<ExecutedBatch> {
    const { signature, remoteModel, remote, clock } = this.#options;
    const startedMs = clock.now();
    const message = encodeInferRequest(mergeRequests(requests, signature, remoteModel));
    const sentMs = clock.now();
    let answeredMs = sentMs;
    const outputs = await remote.infer(message, cancellation, (response) => {
      answeredMs = clock.now();
      const names = requestedNames(requests, signature);
      return scatterResponse(response.outputs, names, rowsOf(requests, signature), signature);
    });
    const timing = {
      computeInputMs: sentMs - startedMs,
      computeInferMs: answeredMs - sentMs,
      computeOutputMs: clock.now() - answeredMs,
    };
    return { outputs, timing };
  }

  async close(): Promise<void> {
    // Nothing to free: the connections belong to the model, which closes them after its last batch.
  }
}
