/**
 * The instance's end of its socket, in a child process that does nothing else: it reads, runs and writes one message
 * after another with blocking calls, and ends when the server's end is closed, that is also when the server dies.
 */
import { readSync, writevSync } from "node:fs";
import { InferenceError } from "../../proto/errors.ts";
import { type InstanceBody, isLastReply } from "./onnx-body.ts";
import {
  PREFIX_BYTES,
  type RequestHeader,
  readPrefix,
  readRequestHeader,
  replyFrame,
  startedFrame,
  toRequest,
} from "./process-frames.ts";
import { readShared, writeShared } from "./shared-payload.ts";

/** File descriptors of the socket to the server and of the shared memory; 0 to 2 are the standard streams. */
export const SOCKET_FD = 3;
export const SHARED_FD = 4;

/** Answers the server's messages until the last one; resolves when the process may end. */
export async function serveInstance(body: InstanceBody): Promise<void> {
  // Signals for the whole process group or container are the server's to act on: it answers what runs, then closes.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
  writeAll(startedFrame());
  const requests = new RequestReader();
  for (;;) {
    const header = requests.next();
    if (header === undefined) return;
    const reply = await body.answer(toRequest(header, requests.payload));
    const mayShare = header.type === "run" && header.sharedBytes !== undefined;
    writeAll(replyFrame(reply, mayShare ? (pieces) => writeShared(SHARED_FD, pieces) : undefined));
    if (isLastReply(reply)) return;
  }
}

class RequestReader {
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  /** Memory of the last run, used again: runs come one after another. */
  #payload = new ArrayBuffer(0);

  /** Data of the last request from its start; the next one overwrites it. */
  get payload(): ArrayBuffer {
    return this.#payload;
  }

  /** Waits for a request; undefined when the server's end is closed. */
  next(): RequestHeader | undefined {
    if (!readAll(this.#prefix)) return undefined;
    const { headerBytes, payloadBytes } = readPrefix(this.#prefix);
    const bytes = new Uint8Array(headerBytes);
    if (!readAll(bytes)) return undefined;
    const header = readRequestHeader(bytes);
    const sharedBytes = header.type === "run" ? (header.sharedBytes ?? 0) : 0;
    const target = this.#room(Math.max(payloadBytes, sharedBytes));
    if (sharedBytes > 0) readShared(SHARED_FD, target, 0);
    else if (!readAll(target)) return undefined;
    return header;
  }

  #room(byteLength: number): Uint8Array {
    if (this.#payload.byteLength < byteLength) this.#payload = new ArrayBuffer(byteLength);
    return new Uint8Array(this.#payload, 0, byteLength);
  }
}

/** Fills `target`; false where the stream ends before. */
function readAll(target: Uint8Array): boolean {
  let filled = 0;
  while (filled < target.byteLength) {
    const count = uninterrupted(() => readSync(SOCKET_FD, target, filled, target.byteLength - filled, null));
    if (count === 0) return false;
    filled += count;
  }
  return true;
}

function writeAll(pieces: Uint8Array[]): void {
  let rest = pieces;
  while (rest.length > 0) {
    let count = uninterrupted(() => writevSync(SOCKET_FD, rest));
    if (count === 0) throw new InferenceError("INTERNAL", "the socket to the server takes no bytes");
    const [first] = rest;
    if (rest.length === 1 && first !== undefined && count === first.byteLength) return;
    rest = rest.flatMap((piece) => {
      const written = Math.min(count, piece.byteLength);
      count -= written;
      return written === piece.byteLength ? [] : [piece.subarray(written)];
    });
  }
}

/** Repeats a system call that a signal cut short. */
function uninterrupted(call: () => number): number {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EINTR")) throw error;
    }
  }
}
