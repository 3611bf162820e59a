/**
 * The instance's end of its socket, in a child process that does nothing else: it reads, runs and writes one message
 * after another with blocking calls, and ends when the server's end is closed, that is also when the server dies.
 */
import { readSync, writevSync } from "node:fs";
import { InferenceError } from "../../proto/errors.ts";
import type { InstanceRequest } from "./instance-protocol.ts";
import { type InstanceBody, isLastReply } from "./onnx-body.ts";
import { PREFIX_BYTES, readPrefix, readRequest, replyFrame } from "./process-frames.ts";

/** File descriptor of the socket to the server; 0 to 2 are the standard streams. */
export const SOCKET_FD = 3;

/** Answers the server's messages until the last one; resolves when the process may end. */
export async function serveInstance(body: InstanceBody): Promise<void> {
  // Signals for the whole process group or container are the server's to act on: it answers what runs, then closes.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
  const requests = new RequestReader();
  for (;;) {
    const request = requests.next();
    if (request === undefined) return;
    const reply = await body.answer(request);
    writeAll(replyFrame(reply));
    if (isLastReply(reply)) return;
  }
}

class RequestReader {
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  /** Memory of the last run, used again: runs come one after another. */
  #payload = new ArrayBuffer(0);

  /** Waits for a request; undefined when the server's end is closed. */
  next(): InstanceRequest | undefined {
    if (!readAll(this.#prefix)) return undefined;
    const { headerBytes, payloadBytes } = readPrefix(this.#prefix);
    const header = new Uint8Array(headerBytes);
    if (this.#payload.byteLength < payloadBytes) this.#payload = new ArrayBuffer(payloadBytes);
    if (!readAll(header) || !readAll(new Uint8Array(this.#payload, 0, payloadBytes))) return undefined;
    return readRequest(header, this.#payload);
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
