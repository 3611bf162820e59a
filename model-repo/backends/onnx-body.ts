/** What an ONNX instance does with each message, the same in a thread and in a child process. */
import { assertNever, InferenceError } from "../../proto/errors.ts";
import type { InstanceReply, InstanceRequest, LoadMessage, RunMessage } from "./instance-protocol.ts";
import { OnnxSession } from "./onnx-session.ts";

/** Answers the messages of docs/instance-protocol.md one at a time. After `loadFailed` and `closed` nothing follows. */
export interface InstanceBody {
  /** Rejects only where no answer can carry the failure: then the instance ends. */
  answer(message: InstanceRequest): Promise<InstanceReply>;
}

export class OnnxBody implements InstanceBody {
  #session: OnnxSession | undefined;

  async answer(message: InstanceRequest): Promise<InstanceReply> {
    switch (message.type) {
      case "load":
        return this.#load(message);
      case "run":
        return this.#run(message);
      case "close":
        await this.#session?.release();
        return { type: "closed" };
      default:
        return assertNever(message);
    }
  }

  async #load({ modelPath, settings }: LoadMessage): Promise<InstanceReply> {
    try {
      this.#session = await OnnxSession.open(modelPath, settings);
      return { type: "loaded", inputs: this.#session.inputs, outputs: this.#session.outputs };
    } catch (error) {
      const { code, message } = InferenceError.from(error);
      return { type: "loadFailed", code, message };
    }
  }

  async #run({ id, buffer, inputs, outputs }: RunMessage): Promise<InstanceReply> {
    try {
      if (this.#session === undefined) throw new InferenceError("INTERNAL", "run before load");
      const result = await this.#session.run(buffer, inputs, outputs);
      return { type: "ran", id, buffer, ...result };
    } catch (error) {
      const { code, message } = InferenceError.from(error);
      return { type: "runFailed", id, buffer, code, message };
    }
  }
}

/** Whether the instance ends after this answer. */
export function isLastReply(reply: InstanceReply): boolean {
  return reply.type === "loadFailed" || reply.type === "closed";
}
