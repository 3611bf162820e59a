/** Main file of an ONNX instance's thread: one session, one message at a time, see docs/instance-protocol.md. */
import { parentPort } from "node:worker_threads";
import { InferenceError } from "../../proto/errors.ts";
import type { InstanceReply, InstanceRequest } from "./instance-protocol.ts";
import { isLastReply, OnnxBody } from "./onnx-body.ts";

if (parentPort === null) throw new InferenceError("INTERNAL", "onnx-worker is the main file of a worker thread");
const port = parentPort;
const body = new OnnxBody();

port.on("message", (message: InstanceRequest) => {
  body.answer(message).then(post, (error: unknown) => {
    // A failure that no answer can carry ends the thread; the server rejects what was open.
    queueMicrotask(() => {
      throw error;
    });
  });
});

function post(reply: InstanceReply): void {
  port.postMessage(reply, buffersOf(reply));
  if (isLastReply(reply)) port.close();
}

/** Memory that goes over to the server with the answer. */
function buffersOf(reply: InstanceReply): ArrayBuffer[] {
  if (reply.type === "ran") return [reply.buffer, ...reply.outputs.map((output) => output.data)];
  return reply.type === "runFailed" ? [reply.buffer] : [];
}
