/** A model instance that runs ONNX in a thread of its own; a thread that dies is replaced. */
import { InferenceError } from "../../proto/errors.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Clock } from "../../scheduler/clock.ts";
import type { ExecutedBatch, ModelInstance } from "../../scheduler/instance.ts";
import type { Log } from "../log.ts";
import { type BoundTensor, gatherBatch, scatterBatch } from "./batch-memory.ts";
import type { LoadedMessage, SessionSettings } from "./instance-protocol.ts";
import { InstanceThread } from "./instance-thread.ts";

export interface OnnxInstanceOptions {
  readonly name: string;
  readonly model: string;
  readonly modelPath: string;
  readonly settings: SessionSettings;
  /** Whether the first dimension is the batch. */
  readonly batches: boolean;
  readonly inputs: readonly BoundTensor[];
  readonly outputs: readonly BoundTensor[];
  readonly clock: Clock;
  readonly log: Log;
  /** Another main file for the thread; tests pass one that misbehaves. */
  readonly workerUrl?: URL;
}

/** Wait before a dead thread is replaced: doubles with every death up to the longest, back to the first after a run. */
const FIRST_RESTART_MS = 200;
const LONGEST_RESTART_MS = 30_000;

export class OnnxInstance implements ModelInstance {
  readonly name: string;
  readonly #options: OnnxInstanceOptions;
  readonly #allOutputs: readonly string[];
  #thread: InstanceThread | undefined;
  #death: InferenceError | undefined;
  #restartMs = FIRST_RESTART_MS;
  #cancelRestart: (() => void) | undefined;
  #restarting: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;
  /** The last batch's buffer, returned by the thread: large allocations cost more than the copy into them. */
  #spare: ArrayBuffer | undefined;

  private constructor(options: OnnxInstanceOptions) {
    this.name = options.name;
    this.#options = options;
    this.#allOutputs = options.outputs.map((output) => output.name);
  }

  /** Starts the thread and loads the model in it; rejects with the runtime's reason. */
  static async start(options: OnnxInstanceOptions): Promise<OnnxInstance> {
    const instance = new OnnxInstance(options);
    await instance.#startThread();
    return instance;
  }

  async execute(requests: readonly InferenceRequest[]): Promise<ExecutedBatch> {
    const thread = this.#thread;
    if (thread === undefined) throw this.#death ?? new InferenceError("UNAVAILABLE", `${this.#label()} is closed`);
    const { model, inputs, batches, clock } = this.#options;
    const startedMs = clock.now();
    const batch = gatherBatch(requests, inputs, batches, this.#spare);
    this.#spare = undefined;
    const names = this.#neededOutputs(requests);
    const gatheredMs = clock.now();
    const ran = await thread.run(batch.buffer, batch.places, names);
    this.#spare = ran.buffer;
    this.#restartMs = FIRST_RESTART_MS;
    const wanted = names === this.#allOutputs ? this.#options.outputs : this.#outputsNamed(names);
    const outputs = scatterBatch(model, requests.length, batch.rows, wanted, ran.outputs);
    const computeInputMs = gatheredMs - startedMs + ran.inputMs;
    const computeOutputMs = Math.max(0, clock.now() - startedMs - computeInputMs - ran.runMs);
    return { outputs, timing: { computeInputMs, computeInferMs: ran.runMs, computeOutputMs } };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#cancelRestart?.();
    await this.#restarting;
    await this.#thread?.close();
    this.#thread = undefined;
    this.#spare = undefined;
  }

  /** Outputs to compute: only what somebody in the batch asked for; extra ones cost time. */
  #neededOutputs(requests: readonly InferenceRequest[]): readonly string[] {
    const needed = new Set<string>();
    for (const request of requests) {
      if (request.requestedOutputs.length === 0) return this.#allOutputs;
      for (const output of request.requestedOutputs) needed.add(output.name);
    }
    return needed.size === this.#allOutputs.length ? this.#allOutputs : this.#allOutputs.filter((n) => needed.has(n));
  }

  #outputsNamed(names: readonly string[]): BoundTensor[] {
    return this.#options.outputs.filter((output) => names.includes(output.name));
  }

  async #startThread(): Promise<void> {
    const { workerUrl, modelPath, settings } = this.#options;
    const { thread, loaded } = await InstanceThread.start({
      label: this.#label(),
      workerUrl: workerUrl ?? onnxWorkerUrl(),
      modelPath,
      settings,
      onDeath: (reason) => this.#restartAfter(reason),
    });
    const mismatch = this.#mismatch(loaded);
    if (mismatch !== undefined) {
      await thread.close();
      throw mismatch;
    }
    this.#thread = thread;
    this.#death = undefined;
  }

  #restartAfter(reason: InferenceError): void {
    const { clock, log } = this.#options;
    this.#thread = undefined;
    this.#death = reason;
    if (this.#closed !== undefined) return;
    log.error({ instance: this.name, restartMs: this.#restartMs }, `${reason.message}; it is started again`);
    this.#cancelRestart = clock.at(clock.now() + this.#restartMs, () => {
      this.#restarting = this.#startThread().catch((error: unknown) => this.#restartAfter(InferenceError.from(error)));
    });
    this.#restartMs = Math.min(LONGEST_RESTART_MS, this.#restartMs * 2);
  }

  /** What the model file declares otherwise than the configuration; shapes are checked when the model is loaded. */
  #mismatch(loaded: LoadedMessage): InferenceError | undefined {
    const { model, inputs, outputs } = this.#options;
    const declared = (tensor: BoundTensor, all: LoadedMessage["inputs"]) =>
      all.find((other) => other.name === tensor.name)?.datatype;
    const wrong =
      inputs.find((input) => declared(input, loaded.inputs) !== input.datatype) ??
      outputs.find((output) => declared(output, loaded.outputs) !== output.datatype);
    if (wrong === undefined) return undefined;
    return new InferenceError(
      "INVALID_ARGUMENT",
      `unable to load model '${model}', the model file opens without a ${wrong.datatype} tensor '${wrong.name}'`,
    );
  }

  #label(): string {
    return `instance '${this.name}' of model '${this.#options.model}'`;
  }
}

/** The thread's main file beside this one: TypeScript in a checkout, JavaScript in the built package. */
function onnxWorkerUrl(): URL {
  return new URL(import.meta.url.endsWith(".ts") ? "./onnx-worker.ts" : "./onnx-worker.js", import.meta.url);
}
