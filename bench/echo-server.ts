/**
 * The transport floor: a bare grpc-js server in a process of its own that never decodes a message. It echoes the
 * request, or answers fixed bytes where the model's answer is of another size than its request. Default options,
 * one unary method, raw buffers. Ends with its parent.
 */
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";
import type { EchoCommand, EchoReply } from "./echo-protocol.ts";
import { MODEL_INFER_PATH } from "./load-protocol.ts";

const same = (bytes: Buffer): Buffer => bytes;
let answer: Buffer | undefined;

const server = new Server();
server.addService(
  {
    ModelInfer: {
      path: MODEL_INFER_PATH,
      requestStream: false,
      responseStream: false,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  },
  {
    ModelInfer: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) =>
      callback(null, answer ?? call.request),
  },
);

process.on("message", (command: EchoCommand) => {
  answer = command.answer === undefined ? undefined : Buffer.from(command.answer);
  process.send?.({ kind: "done" } satisfies EchoReply);
});
process.on("disconnect", () => process.exit());

server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  const reply: EchoReply =
    error === null ? { kind: "listening", port } : { kind: "failed", text: `the echo cannot listen: ${error.message}` };
  process.send?.(reply);
});
