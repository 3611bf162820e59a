/** ModelStreamInfer: many requests in flight on one stream, answered in the order they came. */
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { StreamResponseMessage, type WireMessage } from "../../proto/codec/encode-response.ts";
import { InferenceError } from "../../proto/errors.ts";
import { type InferenceResponse, NO_PARAMETERS, type Parameters } from "../../proto/inference.ts";
import type { Cancellation } from "../../scheduler/cancellation.ts";
import { CallDeadline } from "./call-deadline.ts";
import { grpcError } from "./grpc-error.ts";
import { type InferMessage, infer, type ModelSource } from "./model-infer.ts";
import type { Report } from "./service-registry.ts";

/** Requests of one stream that may be in hand; reading pauses there, and the client's sending with it. */
export const MAX_IN_FLIGHT = 256;

const FINAL_RESPONSE = "triton_final_response";
const SHUTTING_DOWN = "GRPC server is shutting down and has stopped accepting new requests.";

/** One request's place in the order of answers. */
interface Slot {
  readonly cancellation: Cancellation;
  /** The answer ; an error ends the stream when its turn comes (`triton_grpc_error`). */
  outcome: WireMessage | InferenceError | undefined;
}

export type InferStreamCall = ServerDuplexStream<InferMessage, WireMessage>;

/** All open streams, so that a stopping server can end them. */
export class InferStreams {
  readonly #open = new Set<InferStream>();
  readonly #models: ModelSource;
  readonly #report: Report;
  #isDraining = false;

  constructor(models: ModelSource, report: Report) {
    this.#models = models;
    this.#report = report;
  }

  /** The grpc-js handler. */
  readonly handle = (call: InferStreamCall): void => {
    const stream = new InferStream(call, this.#models, this.#report, () => this.#open.delete(stream));
    this.#open.add(stream);
    if (this.#isDraining) stream.drain();
  };

  /** Reads no more requests, sends the answers in hand, then ends every stream with UNAVAILABLE. */
  drain(): void {
    this.#isDraining = true;
    for (const stream of this.#open) stream.drain();
  }
}

class InferStream {
  readonly #call: InferStreamCall;
  readonly #deadline: CallDeadline;
  readonly #models: ModelSource;
  readonly #report: Report;
  readonly #onEnd: () => void;
  readonly #endsOnError: boolean;
  #slots: Slot[] = [];
  #isBlocked = false;
  #isHalfClosed = false;
  #isDraining = false;
  #isEnded = false;

  constructor(call: InferStreamCall, models: ModelSource, report: Report, onEnd: () => void) {
    this.#call = call;
    this.#deadline = new CallDeadline(call.getDeadline());
    this.#models = models;
    this.#report = report;
    this.#onEnd = onEnd;
    this.#endsOnError = String(call.metadata.get("triton_grpc_error")[0]).toLowerCase() === "true";
    call.on("data", (message: InferMessage) => this.#receive(message));
    call.on("end", () => {
      this.#isHalfClosed = true;
      this.#flush();
    });
    call.on("drain", () => {
      this.#isBlocked = false;
      this.#flush();
    });
    call.on("cancelled", () => this.#cancel());
  }

  drain(): void {
    this.#isDraining = true;
    this.#call.pause();
    this.#flush();
  }

  #receive(message: InferMessage): void {
    if (this.#isEnded || this.#isDraining) return;
    const slot: Slot = { cancellation: this.#deadline.cancellation(), outcome: undefined };
    this.#slots.push(slot);
    if (this.#slots.length >= MAX_IN_FLIGHT) this.#call.pause();
    let running: Promise<InferenceResponse>;
    try {
      running = infer(this.#models, message, slot.cancellation);
    } catch (error) {
      slot.outcome = this.#refusal(error, message);
      this.#flush();
      return;
    }
    running
      .then((response) => {
        slot.outcome = new StreamResponseMessage("", asFinal(response));
      })
      .catch((error: unknown) => this.#fail(slot, error, message))
      .then(() => this.#flush())
      .catch((error: unknown) => this.#end(this.#report(error)));
  }

  #fail(slot: Slot, reason: unknown, message: InferMessage): void {
    if (isRefusal(reason)) {
      slot.outcome = this.#refusal(reason, message);
    } else if (this.#endsOnError) {
      slot.outcome = this.#report(reason);
    } else {
      slot.outcome = this.#failure(reason, message);
    }
  }

  /** A request that never ran: its text and its id only. */
  #refusal(reason: unknown, message: InferMessage): WireMessage {
    const error = grpcError(this.#report(reason)).details;
    return new StreamResponseMessage(error, emptyResponse("", "", idOf(message), NO_PARAMETERS));
  }

  /** A request that failed while it ran: also the model as it was asked for, and the mark of the last response. */
  #failure(reason: unknown, message: InferMessage): WireMessage {
    const error = grpcError(this.#report(reason)).details;
    const model = message instanceof InferenceError ? { modelName: "", modelVersion: "" } : message;
    return new StreamResponseMessage(error, emptyResponse(model.modelName, model.modelVersion, idOf(message), FINAL));
  }

  /** Sends what is ready, in order, as far as the client takes it; then reads on, or ends. */
  #flush(): void {
    if (this.#isEnded) return;
    while (!this.#isBlocked) {
      const slot = this.#slots[0];
      if (slot?.outcome === undefined) break;
      if (slot.outcome instanceof InferenceError) {
        this.#end(slot.outcome);
        return;
      }
      this.#slots.shift();
      this.#isBlocked = !this.#call.write(slot.outcome);
    }
    if (this.#slots.length > 0) {
      if (this.#slots.length < MAX_IN_FLIGHT && !this.#isDraining && this.#call.isPaused()) this.#call.resume();
    } else if (this.#isHalfClosed) {
      this.#end(undefined);
    } else if (this.#isDraining) {
      this.#end(new InferenceError("UNAVAILABLE", SHUTTING_DOWN));
    } else if (this.#call.isPaused()) {
      this.#call.resume();
    }
  }

  /** Ends the call, with OK or with an error, and drops whatever is still running. */
  #end(error: InferenceError | undefined): void {
    this.#isEnded = true;
    this.#onEnd();
    for (const slot of this.#slots) slot.cancellation.cancel(new InferenceError("CANCELLED", ""));
    this.#slots = [];
    if (error === undefined) this.#call.end();
    else this.#call.emit("error", grpcError(error));
  }

  #cancel(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#onEnd();
    const reason = this.#deadline.cancelReason();
    for (const slot of this.#slots) slot.cancellation.cancel(reason);
    this.#slots = [];
  }
}

const FINAL: Parameters = new Map([[FINAL_RESPONSE, { kind: "bool", value: true }]]);

function asFinal(response: InferenceResponse): InferenceResponse {
  const parameters = response.parameters.size === 0 ? FINAL : new Map([...response.parameters, ...FINAL]);
  return { ...response, parameters };
}

function emptyResponse(modelName: string, modelVersion: string, id: string, parameters: Parameters): InferenceResponse {
  return { modelName, modelVersion, id, parameters, outputs: [] };
}

function idOf(message: InferMessage): string {
  return message instanceof InferenceError ? "" : message.id;
}

/** Whether a rejected request was turned away before it ran: what Triton answers while enqueueing. */
function isRefusal(reason: unknown): boolean {
  if (!(reason instanceof InferenceError)) return false;
  if (reason.code === "INVALID_ARGUMENT") return true;
  return reason.code === "UNAVAILABLE" && /Exceeds maximum queue size|has stopped accepting/.test(reason.message);
}
