/**
 * What the server and a model instance say to each other; docs/instance-protocol.md is the same in words. Messages are
 * flat and hold plain values and buffers only, so that a thread, a child process and another language can speak them.
 */
import type { DataType } from "../../proto/datatypes.ts";
import type { ErrorCode } from "../../proto/errors.ts";

/** From the server to the instance. */
export type InstanceRequest = LoadMessage | RunMessage | CloseMessage;

/** From the instance to the server. */
export type InstanceReply = LoadedMessage | LoadFailedMessage | RanMessage | RunFailedMessage | ClosedMessage;

/** The first message, once: open the model. Answered by `loaded` or `loadFailed`. */
export interface LoadMessage {
  readonly type: "load";
  /** Absolute path of the model file; files beside it may be external data. */
  readonly modelPath: string;
  readonly settings: SessionSettings;
}

/** What a session runs on. */
export type Device = "cpu" | `cuda:${number}`;

/** How a runtime session is opened. */
export interface SessionSettings {
  readonly intraOpThreads: number;
  readonly interOpThreads: number;
  readonly executionMode: "sequential" | "parallel";
  readonly graphOptimizationLevel: "disabled" | "basic" | "extended" | "all";
  readonly enableMemArena: boolean;
  readonly enableMemPattern: boolean;
  /** `cpu`, the default, or `cuda:N`: the Nth GPU through the CUDA provider. */
  readonly device?: Device;
  /** Further runtime settings by their dotted names, e.g. `session.intra_op.allow_spinning`. */
  readonly extra: Readonly<Record<string, string>>;
}

/** Run one batch. Answered by `ran` or `runFailed` with the same id. */
export interface RunMessage {
  readonly type: "run";
  readonly id: number;
  /** Holds the data of all inputs; the instance owns it until it answers and gives it back with the answer. */
  readonly buffer: ArrayBuffer;
  readonly inputs: readonly InputPlace[];
  /** Names of the outputs to compute, at least one. */
  readonly outputs: readonly string[];
}

/** Where an input lies in the buffer; its datatype is the one told in `loaded`. */
export interface InputPlace {
  readonly name: string;
  /** Shape as the model sees it, batch dimension included. */
  readonly dims: readonly number[];
  /** Multiple of 64. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** The last message: free everything and end. Sent when no run is open; answered by `closed`. */
export interface CloseMessage {
  readonly type: "close";
}

export interface LoadedMessage {
  readonly type: "loaded";
  readonly inputs: readonly ModelTensor[];
  readonly outputs: readonly ModelTensor[];
}

/** An input or output as the model file declares it. */
export interface ModelTensor {
  readonly name: string;
  readonly datatype: DataType;
  /** -1: any size. An empty list is a scalar or an unknown rank. */
  readonly dims: readonly number[];
}

/** The model could not be opened; the instance ends by itself. */
export interface LoadFailedMessage {
  readonly type: "loadFailed";
  readonly code: ErrorCode;
  readonly message: string;
}

export interface RanMessage {
  readonly type: "ran";
  readonly id: number;
  /** The buffer of the run, for the next one. */
  readonly buffer: ArrayBuffer;
  readonly outputs: readonly OutputData[];
  /** Milliseconds spent turning the buffer into tensors. */
  readonly inputMs: number;
  /** Milliseconds inside the runtime. */
  readonly runMs: number;
}

/** One output, in the order asked for. */
export interface OutputData {
  readonly dims: readonly number[];
  /** Raw little-endian elements; BYTES as length-prefixed elements. */
  readonly data: ArrayBuffer;
}

export interface RunFailedMessage {
  readonly type: "runFailed";
  readonly id: number;
  readonly buffer: ArrayBuffer;
  readonly code: ErrorCode;
  readonly message: string;
}

/** Everything is freed; the instance ends. */
export interface ClosedMessage {
  readonly type: "closed";
}
