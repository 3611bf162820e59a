/**
 * Main file of an instance's process for tests: y = x, unless the first element of x tells it to misbehave. It reads no
 * model file; a model path that ends with "abort" ends it at load, one that ends with "stuck" never loads.
 */
import { serveInstance } from "../../../model-repo/backends/child-end.ts";
import type { InstanceReply, InstanceRequest } from "../../../model-repo/backends/instance-protocol.ts";

/** First elements that make it misbehave; from DELAY on it answers after so many milliseconds. */
const ABORT = 666;
const HANG = 777;
const EXIT = 888;
const DELAY = 1_000;

await serveInstance({
  answer: async (message: InstanceRequest): Promise<InstanceReply> => {
    if (message.type === "close") return { type: "closed" };
    if (message.type === "load") {
      process.stdout.write("loads \u001b[31mnow\u001b[0m\n");
      if (message.modelPath.endsWith("abort")) process.abort();
      if (message.modelPath.endsWith("stuck")) hang();
      const tensor = (name: string) => [{ name, datatype: "FP32" as const, dims: [-1, 2] }];
      return { type: "loaded", inputs: tensor("x"), outputs: tensor("y") };
    }
    const { id, buffer, inputs } = message;
    const [place] = inputs;
    if (place === undefined) return { type: "runFailed", id, buffer, code: "INTERNAL", message: "no input" };
    const x = new Float32Array(buffer, place.byteOffset, place.byteLength / 4);
    if (x.includes(ABORT)) process.abort();
    if (x.includes(HANG)) hang();
    if (x.includes(EXIT)) {
      process.stderr.write("no more\n");
      process.exit(3);
    }
    const delayMs = (x[0] ?? 0) - DELAY;
    if (delayMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, delayMs);
    const data = buffer.slice(place.byteOffset, place.byteOffset + place.byteLength);
    return { type: "ran", id, buffer, outputs: [{ dims: place.dims, data }], inputMs: 0, runMs: 1 };
  },
});
process.exit(0);

/** As native code that never returns. */
function hang(): never {
  for (;;) Math.random();
}
