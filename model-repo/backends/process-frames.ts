/**
 * The protocol's messages on a byte stream: a prefix of 16 bytes (magic, header length, payload length), the message as
 * JSON without its tensor data, then that data raw, unless it went through shared memory. Tensor bytes are written from
 * where they lie and read to where they stay.
 */
import { InferenceError } from "../../proto/errors.ts";
import type { InstanceReply, InstanceRequest, OutputData, RanMessage, RunMessage } from "./instance-protocol.ts";

/** "HSI1", little-endian. */
const MAGIC = 0x3149_5348;
export const PREFIX_BYTES = 16;
/** Names and shapes of a few thousand tensors. */
const MAX_HEADER_BYTES = 4 * 1024 * 1024;
/** One batch's inputs or outputs; far above what a request may hold. */
const MAX_PAYLOAD_BYTES = 2 ** 34;

/** Lengths of what follows a prefix. */
export interface FrameSizes {
  readonly headerBytes: number;
  readonly payloadBytes: number;
}

/** Takes a payload into shared memory; false: it stays on the stream. */
export type SharePayload = (pieces: readonly Uint8Array[]) => boolean;

/** Requests as they stand in a header, without their data. */
export type RequestHeader = Exclude<InstanceRequest, RunMessage> | RunHeader;

interface RunHeader extends Omit<RunMessage, "buffer"> {
  /** Bytes of the payload that lie in shared memory; 0: it is on the stream, but the answer may be shared; absent: it may not. */
  readonly sharedBytes?: number;
}

type ReplyHeader =
  | typeof STARTED
  | Exclude<InstanceReply, { readonly buffer: ArrayBuffer }>
  | Omit<Extract<InstanceReply, { readonly type: "runFailed" }>, "buffer">
  | RanHeader;

interface RanHeader extends Omit<RanMessage, "buffer" | "outputs"> {
  readonly outputs: readonly OutputHeader[];
  /** The outputs lie in shared memory one after another. */
  readonly isShared?: true;
}

interface OutputHeader {
  readonly dims: readonly number[];
  readonly byteLength: number;
}

/** A frame of the instance as it arrives: the run's buffer stayed with the sender. */
export type ReceivedReply = typeof STARTED | Received<InstanceReply>;

type Received<Reply> = Reply extends InstanceReply ? Omit<Reply, "buffer"> : never;

/** The pieces of a request in the order to write them. With `share` the payload and the answer's may be shared. */
export function requestFrame(message: InstanceRequest, share?: SharePayload): Uint8Array[] {
  if (message.type !== "run") return frame(message, []);
  const { buffer, ...header } = message;
  let end = 0;
  for (const { byteOffset, byteLength } of message.inputs) end = Math.max(end, byteOffset + byteLength);
  const payloads = end === 0 ? [] : [new Uint8Array(buffer, 0, end)];
  if (share === undefined) return frame(header, payloads);
  return share(payloads) ? frame({ ...header, sharedBytes: end }, []) : frame({ ...header, sharedBytes: 0 }, payloads);
}

/** A process' first frame: it runs, and waits for messages. */
export const STARTED = { type: "started" } as const;

export function startedFrame(): Uint8Array[] {
  return frame(STARTED, []);
}

/** The pieces of a reply in the order to write them. */
export function replyFrame(message: InstanceReply, share?: SharePayload): Uint8Array[] {
  if (message.type === "runFailed") {
    const { buffer: _, ...header } = message;
    return frame(header, []);
  }
  if (message.type !== "ran") return frame(message, []);
  const { type, id, inputMs, runMs, outputs } = message;
  const lengths = outputs.map(({ dims, data }): OutputHeader => ({ dims, byteLength: data.byteLength }));
  const header = { type, id, inputMs, runMs, outputs: lengths };
  const payloads = outputs.filter(({ data }) => data.byteLength > 0).map(({ data }) => new Uint8Array(data));
  return share?.(payloads) === true ? frame({ ...header, isShared: true }, []) : frame(header, payloads);
}

/** Reads a prefix; throws INTERNAL where the bytes are not one, or announce more than is allowed. */
export function readPrefix(prefix: Uint8Array): FrameSizes {
  const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES);
  const headerBytes = view.getUint32(4, true);
  const payloadBytes = view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32;
  if (view.getUint32(0, true) !== MAGIC || headerBytes > MAX_HEADER_BYTES || payloadBytes > MAX_PAYLOAD_BYTES) {
    throw new InferenceError("INTERNAL", "the instance's socket carries something that is not its protocol");
  }
  return { headerBytes, payloadBytes };
}

/** The message of a request's header. */
export function readRequestHeader(header: Uint8Array): RequestHeader {
  return parse(header) as RequestHeader; // only the server writes here
}

/** The whole request; `buffer` holds the payload from its start. */
export function toRequest(header: RequestHeader, buffer: ArrayBuffer): InstanceRequest {
  if (header.type !== "run") return header;
  const { sharedBytes: _, ...message } = header;
  return { ...message, buffer };
}

/** Puts replies together from the chunks of a stream; a chunk may hold parts of several. */
export class ReplyReader {
  readonly #onReply: (reply: ReceivedReply) => void;
  readonly #readShared: (target: Uint8Array, position: number) => void;
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  #stage: "prefix" | "header" | "payload" = "prefix";
  /** What is being filled, and how far. */
  #target: Uint8Array = this.#prefix;
  #filled = 0;
  #payloadBytes = 0;
  /** Outputs still to fill. */
  #next: Uint8Array[] = [];
  #reply: ReceivedReply | undefined;

  /** `readShared` fills a target from a position of the shared memory. */
  constructor(
    onReply: (reply: ReceivedReply) => void,
    readShared: (target: Uint8Array, position: number) => void = noSharedMemory,
  ) {
    this.#onReply = onReply;
    this.#readShared = readShared;
  }

  /** Takes the next bytes; throws INTERNAL where they are no reply. The chunk may be reused afterwards. */
  push(chunk: Uint8Array): void {
    let offset = 0;
    while (offset < chunk.byteLength) {
      const count = Math.min(this.#target.byteLength - this.#filled, chunk.byteLength - offset);
      this.#target.set(chunk.subarray(offset, offset + count), this.#filled);
      offset += count;
      this.#filled += count;
      if (this.#filled === this.#target.byteLength) this.#advance();
    }
  }

  #advance(): void {
    this.#filled = 0;
    if (this.#stage === "prefix") {
      const { headerBytes, payloadBytes } = readPrefix(this.#prefix);
      this.#payloadBytes = payloadBytes;
      this.#stage = "header";
      this.#target = new Uint8Array(headerBytes);
      return;
    }
    if (this.#stage === "header") {
      this.#open(parse(this.#target) as ReplyHeader); // the child is this program's own file
      this.#stage = "payload";
    }
    const target = this.#next.shift();
    if (target !== undefined) {
      this.#target = target;
      return;
    }
    const reply = this.#reply;
    this.#reply = undefined;
    this.#stage = "prefix";
    this.#target = this.#prefix;
    if (reply !== undefined) this.#onReply(reply);
  }

  #open(header: ReplyHeader): void {
    if (header.type !== "ran") {
      this.#reply = header;
      return;
    }
    const { isShared, ...message } = header;
    const outputs: OutputData[] = header.outputs.map(({ dims, byteLength }) => ({
      dims,
      data: new ArrayBuffer(byteLength),
    }));
    const targets = outputs.filter(({ data }) => data.byteLength > 0).map(({ data }) => new Uint8Array(data));
    this.#reply = { ...message, outputs };
    if (isShared === true) {
      let position = 0;
      for (const target of targets) {
        this.#readShared(target, position);
        position += target.byteLength;
      }
      return;
    }
    const announced = targets.reduce((sum, target) => sum + target.byteLength, 0);
    if (announced !== this.#payloadBytes)
      throw new InferenceError("INTERNAL", "the instance's answer has a wrong length");
    this.#next = targets;
  }
}

function noSharedMemory(): never {
  throw new InferenceError("INTERNAL", "the instance's answer lies in shared memory, and there is none");
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function frame(header: RequestHeader | ReplyHeader, payloads: readonly Uint8Array[]): Uint8Array[] {
  const json = encoder.encode(JSON.stringify(header));
  const payloadBytes = payloads.reduce((sum, payload) => sum + payload.byteLength, 0);
  const head = new Uint8Array(PREFIX_BYTES + json.byteLength);
  const view = new DataView(head.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, json.byteLength, true);
  view.setUint32(8, payloadBytes % 2 ** 32, true);
  view.setUint32(12, Math.floor(payloadBytes / 2 ** 32), true);
  head.set(json, PREFIX_BYTES);
  return [head, ...payloads];
}

function parse(header: Uint8Array): { readonly type: string } {
  const value: unknown = JSON.parse(decoder.decode(header));
  if (typeof value === "object" && value !== null && "type" in value && typeof value.type === "string") {
    return { ...value, type: value.type };
  }
  throw new InferenceError("INTERNAL", "the instance's socket carries a message without a type");
}
