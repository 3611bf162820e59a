/** Main file of an ONNX instance's thread: one session, one message at a time, see docs/instance-protocol.md. */
import { parentPort } from "node:worker_threads";
import { assertNever, InferenceError } from "../../proto/errors.ts";
import type { InstanceReply, InstanceRequest, LoadMessage, RunMessage } from "./instance-protocol.ts";
import { OnnxSession } from "./onnx-session.ts";

if (parentPort === null) throw new InferenceError("INTERNAL", "onnx-worker is the main file of a worker thread");
const port = parentPort;
let session: OnnxSession | undefined;

port.on("message", (message: InstanceRequest) => {
  handle(message).catch((error: unknown) => {
    // A failure that no answer can carry ends the thread; the server rejects what was open.
    queueMicrotask(() => {
      throw error;
    });
  });
});

async function handle(message: InstanceRequest): Promise<void> {
  switch (message.type) {
    case "load":
      return load(message);
    case "run":
      return run(message);
    case "close":
      await session?.release();
      reply({ type: "closed" });
      port.close();
      return;
    default:
      return assertNever(message);
  }
}

async function load({ modelPath, settings }: LoadMessage): Promise<void> {
  try {
    session = await OnnxSession.open(modelPath, settings);
    reply({ type: "loaded", inputs: session.inputs, outputs: session.outputs });
  } catch (error) {
    const { code, message } = InferenceError.from(error);
    reply({ type: "loadFailed", code, message });
    port.close();
  }
}

async function run({ id, buffer, inputs, outputs }: RunMessage): Promise<void> {
  try {
    if (session === undefined) throw new InferenceError("INTERNAL", "run before load");
    const result = await session.run(buffer, inputs, outputs);
    const transfer = [buffer, ...result.outputs.map((output) => output.data)];
    reply({ type: "ran", id, buffer, ...result }, transfer);
  } catch (error) {
    const { code, message } = InferenceError.from(error);
    reply({ type: "runFailed", id, buffer, code, message }, [buffer]);
  }
}

function reply(message: InstanceReply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}
