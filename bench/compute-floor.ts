/**
 * The compute floor: onnxruntime alone, in a process of its own, one intra-op thread and no spinning as the server's
 * instances have. Takes ComputeCommands over IPC and ends with its parent.
 */
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { ComputeCommand, ComputeReply } from "./compute-protocol.ts";

const SESSION_OPTIONS: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  extra: { session: { intra_op: { allow_spinning: "0" } } },
};

interface LoadedModel {
  readonly session: InferenceSession;
  readonly input: string;
  readonly output: string;
  readonly data: Float32Array;
  /** First dimension: the rows of `data`. */
  readonly shape: readonly number[];
}

class ComputeFloor {
  readonly #models = new Map<string, LoadedModel>();

  async handle(command: ComputeCommand): Promise<ComputeReply> {
    switch (command.kind) {
      case "load": {
        const session = await InferenceSession.create(command.file, SESSION_OPTIONS);
        const [input, output] = [session.inputNames[0], session.outputNames[0]];
        if (input === undefined || output === undefined) throw new Error(`${command.file} has no input or no output`);
        const data = new Float32Array(new Uint8Array(command.data).buffer);
        this.#models.set(command.model, { session, input, output, data, shape: command.shape });
        return { kind: "done" };
      }
      case "run":
        return this.#run(this.#model(command.model), command.batch, command.ms);
      case "answers": {
        const model = this.#model(command.model);
        const output = await run(model, 0, model.shape[0] ?? 1);
        return { kind: "answers", data: new Uint8Array(toFloats(output).buffer), shape: output.dims };
      }
    }
  }

  async #run(model: LoadedModel, batch: number, ms: number): Promise<ComputeReply> {
    const rows = model.shape[0] ?? 1;
    await run(model, 0, batch);
    const startMs = performance.now();
    const startCpu = process.cpuUsage();
    let done = 0;
    while (performance.now() - startMs < ms) {
      const first = done % (rows - batch + 1);
      await run(model, first, batch);
      done += batch;
    }
    const cpu = process.cpuUsage(startCpu);
    return {
      kind: "ran",
      cpuUsPerRow: (cpu.user + cpu.system) / done,
      rowsPerSecond: (done * 1000) / (performance.now() - startMs),
    };
  }

  #model(name: string): LoadedModel {
    const model = this.#models.get(name);
    if (model === undefined) throw new Error(`${name} is not loaded`);
    return model;
  }
}

async function run(model: LoadedModel, first: number, rows: number): Promise<Tensor> {
  const perRow = model.data.length / (model.shape[0] ?? 1);
  const data = model.data.subarray(first * perRow, (first + rows) * perRow);
  const outputs = await model.session.run({
    [model.input]: new Tensor("float32", data, [rows, ...model.shape.slice(1)]),
  });
  const output = outputs[model.output];
  if (output === undefined) throw new Error(`no output ${model.output}`);
  return output;
}

function toFloats(tensor: Tensor): Float32Array<ArrayBuffer> {
  if (!(tensor.data instanceof Float32Array)) throw new Error(`a float32 output was expected, not ${tensor.type}`);
  return new Float32Array(tensor.data);
}

const floor = new ComputeFloor();
process.on("message", (command: ComputeCommand) => {
  floor.handle(command).then(
    (reply) => process.send?.(reply),
    (error: unknown) => process.send?.({ kind: "failed", text: String(error) } satisfies ComputeReply),
  );
});
process.on("disconnect", () => process.exit());
