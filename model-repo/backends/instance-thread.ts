/** The server's end of one instance thread: answers find their callers, and death reaches all of them. */
import { Worker } from "node:worker_threads";
import { assertNever, InferenceError } from "../../proto/errors.ts";
import type {
  InputPlace,
  InstanceReply,
  InstanceRequest,
  LoadedMessage,
  RanMessage,
  SessionSettings,
} from "./instance-protocol.ts";

interface OpenRun {
  readonly resolve: (reply: RanMessage) => void;
  readonly reject: (reason: InferenceError) => void;
}

export interface InstanceThreadOptions {
  /** For texts: `model 'M', instance 'M_0'`. */
  readonly label: string;
  /** Main file of the thread; speaks docs/instance-protocol.md. */
  readonly workerUrl: URL;
  readonly modelPath: string;
  readonly settings: SessionSettings;
  /** Called once when the thread ends without having been asked to. */
  readonly onDeath: (reason: InferenceError) => void;
}

export class InstanceThread {
  readonly #worker: Worker;
  readonly #label: string;
  readonly #open = new Map<number, OpenRun>();
  readonly #ended: Promise<void>;
  #nextId = 0;
  #isClosing = false;
  #death: InferenceError | undefined;
  #onIdle: (() => void) | undefined;

  private constructor(worker: Worker, label: string) {
    this.#worker = worker;
    this.#label = label;
    this.#ended = new Promise((resolve) => worker.once("exit", () => resolve()));
  }

  /** Starts the thread and opens the model in it; rejects with the instance's reason. */
  static async start(options: InstanceThreadOptions): Promise<{ thread: InstanceThread; loaded: LoadedMessage }> {
    const worker = new Worker(options.workerUrl, { execArgv: [] });
    const thread = new InstanceThread(worker, options.label);
    const loaded = new Promise<LoadedMessage>((resolve, reject) => {
      let isLoaded = false;
      worker.on("message", (message: InstanceReply) => {
        switch (message.type) {
          case "loaded":
            isLoaded = true;
            return resolve(message);
          case "loadFailed":
            thread.#isClosing = true;
            return reject(new InferenceError(message.code, message.message));
          case "ran":
            return thread.#take(message.id)?.resolve(message);
          case "runFailed":
            return thread.#take(message.id)?.reject(new InferenceError(message.code, message.message));
          case "closed":
            return;
          default:
            return assertNever(message);
        }
      });
      const die = (reason: unknown) => {
        if (thread.#death !== undefined || thread.#isClosing) return;
        thread.#die(reason);
        const death = thread.#deathOr("is gone");
        if (isLoaded) options.onDeath(death);
        else reject(death);
      };
      worker.on("error", die);
      worker.on("messageerror", die);
      worker.on("exit", (code) => die(`exit code ${code}`));
    });
    thread.#post({ type: "load", modelPath: options.modelPath, settings: options.settings });
    return { thread, loaded: await loaded };
  }

  /** Runs one batch; the buffer is handed over and comes back with the answer. */
  run(buffer: ArrayBuffer, inputs: readonly InputPlace[], outputs: readonly string[]): Promise<RanMessage> {
    return new Promise((resolve, reject) => {
      if (this.#death !== undefined || this.#isClosing) return reject(this.#deathOr("is closed"));
      const id = this.#nextId++;
      this.#post({ type: "run", id, buffer, inputs, outputs }, [buffer]);
      this.#open.set(id, { resolve, reject });
    });
  }

  /**
   * Waits for open runs, then lets the thread free its session and end by itself. It is never terminated: that would
   * abort the whole process if a run were in flight.
   */
  async close(): Promise<void> {
    if (this.#open.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    if (this.#death === undefined && !this.#isClosing) {
      this.#isClosing = true;
      this.#post({ type: "close" });
    }
    await this.#ended;
  }

  #post(message: InstanceRequest, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #take(id: number): OpenRun | undefined {
    const run = this.#open.get(id);
    this.#open.delete(id);
    if (this.#open.size === 0) this.#onIdle?.();
    return run;
  }

  #die(reason: unknown): void {
    const text = reason instanceof Error ? reason.message : String(reason);
    this.#death = new InferenceError("UNAVAILABLE", `${this.#label} died: ${text}`, { cause: reason });
    for (const run of this.#open.values()) run.reject(this.#death);
    this.#open.clear();
    this.#onIdle?.();
  }

  #deathOr(state: string): InferenceError {
    return this.#death ?? new InferenceError("UNAVAILABLE", `${this.#label} ${state}`);
  }
}
