/** The server's end of one instance, in a thread or a process: answers find their callers, and death reaches all of them. */
import { assertNever, InferenceError } from "../../proto/errors.ts";
import type { Clock } from "../../scheduler/clock.ts";
import { InstanceLostError } from "../../scheduler/lost-batch.ts";
import type {
  InputPlace,
  InstanceReply,
  InstanceRequest,
  LoadedMessage,
  RanMessage,
  SessionSettings,
} from "./instance-protocol.ts";

/** How messages reach an instance. */
export interface InstanceTransport {
  post(message: InstanceRequest): void;
  /** Resolves when the instance is gone and has given everything back. */
  readonly ended: Promise<void>;
  /** Ends the instance whatever it does; absent where that would take the server along: a thread. */
  kill?(): void;
  /** Of a child process. */
  readonly pid?: number | undefined;
}

/** What a transport reports. */
export interface TransportEvents {
  onReply(reply: InstanceReply): void;
  /** The instance ended, or can no longer be talked to; `reason` is an error or a text such as `exit code 3`. */
  onEnd(reason: unknown): void;
}

export interface InstanceLinkOptions {
  /** For texts: `instance 'M_0' of model 'M'`. */
  readonly label: string;
  readonly modelPath: string;
  readonly settings: SessionSettings;
  readonly clock: Clock;
  readonly open: (events: TransportEvents) => InstanceTransport;
  /** A start that takes longer is given up, where the instance can be killed; absent: it may take any time. */
  readonly loadLimitMs?: number | undefined;
  /** Called once when a loaded instance ends without having been asked to. */
  readonly onDeath: (reason: InferenceError) => void;
}

interface OpenRun {
  readonly resolve: (reply: RanMessage) => void;
  readonly reject: (reason: InferenceError) => void;
}

/** An instance that can be killed may take this long to end by itself when it is closed. */
const CLOSE_GRACE_MS = 5_000;

export class InstanceLink {
  readonly #transport: InstanceTransport;
  readonly #options: InstanceLinkOptions;
  readonly #open = new Map<number, OpenRun>();
  #nextId = 0;
  #isClosing = false;
  #death: InferenceError | undefined;
  #onIdle: (() => void) | undefined;
  #loading: { resolve: (loaded: LoadedMessage) => void; reject: (reason: InferenceError) => void } | undefined;

  private constructor(options: InstanceLinkOptions) {
    this.#options = options;
    this.#transport = options.open({
      onReply: (reply) => this.#receive(reply),
      onEnd: (reason) => this.#end(reason),
    });
  }

  /** Starts the instance and opens the model in it; rejects with the instance's reason. */
  static async start(options: InstanceLinkOptions): Promise<{ link: InstanceLink; loaded: LoadedMessage }> {
    const { clock, loadLimitMs, label, modelPath, settings } = options;
    const link = new InstanceLink(options);
    const cancelLimit =
      loadLimitMs === undefined
        ? undefined
        : clock.at(clock.now() + loadLimitMs, () =>
            link.abort(
              new InferenceError("UNAVAILABLE", `${label} did not start within ${Math.round(loadLimitMs)} ms`),
            ),
          );
    try {
      const loaded = await new Promise<LoadedMessage>((resolve, reject) => {
        link.#loading = { resolve, reject };
        link.#transport.post({ type: "load", modelPath, settings });
      });
      return { link, loaded };
    } finally {
      cancelLimit?.();
    }
  }

  /** Process id where the instance is a process. */
  get pid(): number | undefined {
    return this.#transport.pid;
  }

  /** Runs one batch; the buffer is handed over and comes back with the answer. */
  run(buffer: ArrayBuffer, inputs: readonly InputPlace[], outputs: readonly string[]): Promise<RanMessage> {
    return new Promise((resolve, reject) => {
      if (this.#death !== undefined || this.#isClosing) return reject(this.#deathOr("is closed"));
      const id = this.#nextId++;
      this.#transport.post({ type: "run", id, buffer, inputs, outputs });
      this.#open.set(id, { resolve, reject });
    });
  }

  /**
   * Waits for open runs, then lets the instance free its session and end by itself. A thread is never terminated: that
   * would abort the whole process if a run were in flight.
   */
  async close(): Promise<void> {
    if (this.#open.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    const { clock } = this.#options;
    let cancelKill = (): void => undefined;
    if (this.#death === undefined && !this.#isClosing) {
      this.#isClosing = true;
      this.#transport.post({ type: "close" });
      const kill = this.#transport.kill?.bind(this.#transport);
      if (kill !== undefined) cancelKill = clock.at(clock.now() + CLOSE_GRACE_MS, kill);
    }
    await this.#transport.ended;
    cancelKill();
  }

  /** Answers the open runs with `reason` and kills the instance; only where its transport can. */
  abort(reason: InferenceError): void {
    if (this.#death !== undefined) return;
    this.#die(reason);
    this.#transport.kill?.();
  }

  #receive(message: InstanceReply): void {
    switch (message.type) {
      case "loaded":
        this.#loading?.resolve(message);
        this.#loading = undefined;
        return;
      case "loadFailed":
        this.#isClosing = true;
        this.#loading?.reject(new InferenceError(message.code, message.message));
        return;
      case "ran":
        this.#take(message.id)?.resolve(message);
        return;
      case "runFailed":
        this.#take(message.id)?.reject(new InferenceError(message.code, message.message));
        return;
      case "closed":
        return;
      default:
        assertNever(message);
    }
  }

  #end(reason: unknown): void {
    if (this.#death !== undefined || this.#isClosing) return;
    const text = reason instanceof Error ? reason.message : String(reason);
    this.#die(new InstanceLostError("UNAVAILABLE", `${this.#options.label} died: ${text}`, { cause: reason }));
  }

  #take(id: number): OpenRun | undefined {
    const run = this.#open.get(id);
    this.#open.delete(id);
    if (this.#open.size === 0) this.#onIdle?.();
    return run;
  }

  #die(death: InferenceError): void {
    this.#death = death;
    for (const run of this.#open.values()) run.reject(death);
    this.#open.clear();
    this.#onIdle?.();
    if (this.#loading === undefined) this.#options.onDeath(death);
    else this.#loading.reject(death);
  }

  #deathOr(state: string): InferenceError {
    return this.#death ?? new InferenceError("UNAVAILABLE", `${this.#options.label} ${state}`);
  }
}
