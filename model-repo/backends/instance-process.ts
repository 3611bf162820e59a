/** Messages to an instance in a child process, over a socket pair that carries tensors as they are. */
import { spawn } from "node:child_process";
import { closeSync } from "node:fs";
import type { Duplex, Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { InferenceError } from "../../proto/errors.ts";
import type { Clock } from "../../scheduler/clock.ts";
import type { Log } from "../log.ts";
import { SOCKET_FD } from "./child-end.ts";
import type { InstanceTransport, TransportEvents } from "./instance-link.ts";
import { logLines } from "./log-lines.ts";
import { findProgram, limitedCommand, type ProcessLimits } from "./process-command.ts";
import { describeEnd, explainMemory } from "./process-end.ts";
import { ReplyReader, requestFrame } from "./process-frames.ts";
import { openSharedFile, readShared, writeShared } from "./shared-payload.ts";

export interface ProcessOptions {
  /** Main file that speaks docs/instance-protocol.md on the socket. */
  readonly mainFile: URL;
  readonly limits: ProcessLimits;
  /** The instance's name, for its lines in the log. */
  readonly name: string;
  readonly log: Log;
  readonly clock: Clock;
}

/** Node starts within a second; with too little memory, or on a machine that has none left, it may never. */
const START_LIMIT_MS = 60_000;

/** Variables of the server that would change how the child starts. */
const NOT_INHERITED = ["NODE_OPTIONS", "NODE_CHANNEL_FD", "NODE_TEST_CONTEXT"];

/** Starts a child process; throws UNAVAILABLE where its limits cannot be set on this machine. */
export function openProcess(options: ProcessOptions, events: TransportEvents): InstanceTransport {
  const { mainFile, limits, name, log, clock } = options;
  const plain = { file: process.execPath, args: [fileURLToPath(mainFile)] };
  const { file, args } = limitedCommand(plain, limits, findProgram);
  const shared = openSharedFile();
  const child = spawn(file, [...args], {
    stdio: ["ignore", "pipe", "pipe", "pipe", shared ?? "ignore"],
    env: Object.fromEntries(Object.entries(process.env).filter(([key]) => !NOT_INHERITED.includes(key))),
    // A group of its own: Ctrl-C at the terminal reaches the server, which drains first.
    detached: true,
  });
  let problem: unknown;
  child.on("error", (error) => {
    problem ??= error;
  });
  // Where the server has no file descriptors left the process has no streams, against its type.
  const streams: readonly unknown[] | undefined = child.stdio;
  if (streams === undefined) {
    if (shared !== undefined) closeSync(shared);
    throw new InferenceError("UNAVAILABLE", "no process can be started: too many open files; raise 'ulimit -n'");
  }
  const socket = child.stdio[SOCKET_FD] as Duplex; // "pipe" makes all three sockets
  const fields = { instance: name };
  const buffers = new Map<number, ArrayBuffer>();
  const fail = (error: unknown): void => {
    problem ??= error;
    child.kill("SIGKILL");
  };
  const cancelStartLimit = clock.at(clock.now() + START_LIMIT_MS, () =>
    fail(new InferenceError("UNAVAILABLE", `its process did not start within ${START_LIMIT_MS / 1_000} s`)),
  );
  const readSharedMemory =
    shared === undefined ? undefined : (target: Uint8Array, position: number) => readShared(shared, target, position);
  const sharePayload =
    shared === undefined ? undefined : (pieces: readonly Uint8Array[]) => writeShared(shared, pieces);
  const reader = new ReplyReader((received) => {
    if (received.type === "started") return cancelStartLimit();
    const reply = "message" in received ? { ...received, ...explainMemory(received, limits) } : received;
    if (reply.type !== "ran" && reply.type !== "runFailed") return events.onReply(reply);
    const buffer = buffers.get(reply.id);
    if (buffer === undefined)
      return fail(new InferenceError("INTERNAL", `it answered run ${reply.id}, which is not open`));
    buffers.delete(reply.id);
    events.onReply({ ...reply, buffer });
  }, readSharedMemory);
  socket.on("data", (chunk: Buffer) => {
    try {
      reader.push(chunk);
    } catch (error) {
      fail(error);
    }
  });
  // It breaks because the process ends, whose own event says how; the kill only makes sure that there is one.
  socket.on("error", () => child.kill("SIGKILL"));
  logLines(child.stdio[1] as Readable, (line) => log.info(fields, line));
  const errors = logLines(child.stdio[2] as Readable, (line) => log.warn(fields, line));
  const ended = new Promise<void>((resolve) => {
    child.once("close", () => {
      cancelStartLimit();
      buffers.clear();
      if (shared !== undefined) closeSync(shared);
      resolve();
      events.onEnd(
        problem ??
          describeEnd({ exitCode: child.exitCode, signal: child.signalCode, lastLine: errors.cause(), limits }),
      );
    });
  });
  return {
    post(message) {
      // The shared memory holds one run at a time, from its request to its answer.
      const frame = requestFrame(message, buffers.size === 0 ? sharePayload : undefined);
      if (message.type === "run") buffers.set(message.id, message.buffer);
      socket.cork();
      for (const piece of frame) socket.write(piece);
      socket.uncork();
    },
    ended,
    kill: () => void child.kill("SIGKILL"),
    pid: child.pid,
  };
}
