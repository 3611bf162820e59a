/** Messages to an instance in a worker thread: buffers are transferred, not copied. */
import { Worker } from "node:worker_threads";
import type { InstanceTransport, TransportEvents } from "./instance-link.ts";
import type { InstanceReply } from "./instance-protocol.ts";

/** Starts a thread whose main file speaks docs/instance-protocol.md. */
export function openThread(mainFile: URL, events: TransportEvents): InstanceTransport {
  const worker = new Worker(mainFile, { execArgv: [] });
  worker.on("message", (message: InstanceReply) => events.onReply(message));
  worker.on("error", (error) => events.onEnd(error));
  worker.on("messageerror", (error) => events.onEnd(error));
  worker.on("exit", (code) => events.onEnd(`exit code ${code}`));
  return {
    post: (message) => worker.postMessage(message, message.type === "run" ? [message.buffer] : []),
    ended: new Promise((resolve) => worker.once("exit", () => resolve())),
  };
}
