/** A model instance that runs ONNX in a thread or process of its own; one that dies or hangs is replaced. */
import { InferenceError } from "../../proto/errors.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Clock } from "../../scheduler/clock.ts";
import type { ExecutedBatch, InstanceReport, ModelInstance, Outage } from "../../scheduler/instance.ts";
import type { Log } from "../log.ts";
import { type BoundTensor, type GatheredBatch, gatherBatch, scatterBatch } from "./batch-memory.ts";
import { InstanceLink, type InstanceTransport, type TransportEvents } from "./instance-link.ts";
import { openProcess } from "./instance-process.ts";
import type { LoadedMessage, RanMessage, SessionSettings } from "./instance-protocol.ts";
import { afterCrash, afterRun, NO_CRASHES } from "./instance-restart.ts";
import { openThread } from "./instance-thread.ts";
import { LoadedFiles } from "./loaded-files.ts";
import type { ProcessLimits } from "./process-command.ts";
import { RunTimes, runLimitMs } from "./run-limit.ts";

/** Where an instance runs. A process can be stopped, pinned and limited; a thread hands tensors over without a copy. */
export type InstancePlacement = { readonly isolation: "thread" } | ProcessPlacement;

export interface ProcessPlacement extends ProcessLimits {
  readonly isolation: "process";
  /** A run that takes longer is stopped; absent: judged by what runs took before, at most one minute. */
  readonly runLimitMs?: number | undefined;
}

export interface OnnxInstanceOptions {
  readonly name: string;
  readonly model: string;
  readonly modelPath: string;
  readonly settings: SessionSettings;
  /** Absent: a thread. */
  readonly placement?: InstancePlacement;
  /** Whether the first dimension is the batch. */
  readonly batches: boolean;
  readonly inputs: readonly BoundTensor[];
  readonly outputs: readonly BoundTensor[];
  readonly clock: Clock;
  readonly log: Log;
  /** Another main file for the thread or process; tests pass one that misbehaves. */
  readonly mainFile?: URL;
  /** It is started again only while these are as they were; absent: whatever they have become. */
  readonly files?: readonly string[];
  /** 0 to below 1, for the jitter of restarts. */
  readonly random?: () => number;
}

const THREAD: InstancePlacement = { isolation: "thread" };
/** A replacement may take this many times as long to load as the first one did, and always the shortest limit. */
const LOAD_TIMES = 10;
const SHORTEST_LOAD_LIMIT_MS = 60_000;

export class OnnxInstance implements ModelInstance {
  readonly name: string;
  readonly #options: OnnxInstanceOptions;
  readonly #allOutputs: readonly string[];
  readonly #placement: InstancePlacement;
  readonly #runTimes = new RunTimes();
  readonly #files: LoadedFiles;
  #link: InstanceLink | undefined;
  #outage: Outage | undefined;
  #onOutageChange: () => void = () => undefined;
  #history = NO_CRASHES;
  readonly #counts = { crashes: 0, hangs: 0, restarts: 0 };
  /** It is ended on purpose, which is no crash. */
  #isReplacedAtOnce = false;
  #loadMs: number | undefined;
  #cancelRestart: (() => void) | undefined;
  #restarting: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;
  /** The last batch's buffer, returned by the instance: large allocations cost more than the copy into them. */
  #spare: ArrayBuffer | undefined;

  private constructor(options: OnnxInstanceOptions) {
    this.name = options.name;
    this.#options = options;
    this.#placement = options.placement ?? THREAD;
    this.#files = new LoadedFiles(options.files);
    this.#allOutputs = options.outputs.map((output) => output.name);
  }

  /** Starts the thread or process and loads the model in it; rejects with the runtime's reason. */
  static async start(options: OnnxInstanceOptions): Promise<OnnxInstance> {
    const instance = new OnnxInstance(options);
    await instance.#start();
    return instance;
  }

  get outage(): Outage | undefined {
    return this.#outage;
  }

  get report(): InstanceReport {
    const state = this.#outage === undefined ? "ready" : this.#outage.isDown ? "down" : "restarting";
    const device = this.#options.settings.device ?? "cpu";
    const { isolation } = this.#placement;
    return { name: this.name, isolation, device, state, ...this.#counts, pid: this.#link?.pid };
  }

  onOutageChange(callback: () => void): void {
    this.#onOutageChange = callback;
  }

  async execute(requests: readonly InferenceRequest[]): Promise<ExecutedBatch> {
    const link = this.#link;
    if (link === undefined)
      throw this.#outage?.reason ?? new InferenceError("UNAVAILABLE", `${this.#label()} is closed`);
    const { model, inputs, batches, clock } = this.#options;
    const startedMs = clock.now();
    const batch = gatherBatch(requests, inputs, batches, this.#spare);
    this.#spare = undefined;
    const names = this.#neededOutputs(requests);
    const gatheredMs = clock.now();
    const ran = await (this.#placement.isolation === "process"
      ? this.#runWatched(link, this.#placement, batch, names)
      : link.run(batch.buffer, batch.places, names));
    this.#spare = ran.buffer;
    this.#history = afterRun(this.#history);
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
    await this.#link?.close();
    this.#link = undefined;
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

  /** Runs one batch in a process, which is stopped where it takes far too long: nothing else ends a hung native call. */
  async #runWatched(
    link: InstanceLink,
    placement: ProcessPlacement,
    { buffer, places }: GatheredBatch,
    names: readonly string[],
  ): Promise<RanMessage> {
    const { clock } = this.#options;
    const inputBytes = places.reduce((sum, place) => sum + place.byteLength, 0);
    const limitMs = runLimitMs(this.#runTimes.statistics, inputBytes, placement.runLimitMs);
    const startedMs = clock.now();
    let isOpen = true;
    const cancelLimit = clock.at(startedMs + limitMs, () => {
      // The answer may lie unread where it was this process that stood still.
      clock.soon(() => {
        if (isOpen) this.#stopHung(link, limitMs);
      });
    });
    try {
      const ran = await link.run(buffer, places, names);
      this.#runTimes.add(clock.now() - startedMs, inputBytes);
      return ran;
    } catch (error) {
      // The runtime's arena grows as if the next run were as large: what is left of the limit would go to it.
      const isOutOfMemory = error instanceof InferenceError && error.code === "RESOURCE_EXHAUSTED";
      if (isOutOfMemory) this.#replaceAtOnce(link, error);
      throw error;
    } finally {
      isOpen = false;
      cancelLimit();
    }
  }

  #replaceAtOnce(link: InstanceLink, reason: InferenceError): void {
    if (this.#link !== link) return; // it has ended meanwhile
    this.#isReplacedAtOnce = true;
    link.abort(reason);
  }

  #stopHung(link: InstanceLink, limitMs: number): void {
    this.#counts.hangs++;
    link.abort(
      new InferenceError(
        "INTERNAL",
        `${this.#label()} did not answer within ${Math.round(limitMs)} ms and was stopped; where runs may take that ` +
          "long, set the model's parameter 'run_time_limit_ms'",
      ),
    );
  }

  async #start(): Promise<void> {
    const { clock, modelPath, settings } = this.#options;
    await this.#files.check(this.#label());
    const startedMs = clock.now();
    const { link, loaded } = await InstanceLink.start({
      label: this.#label(),
      modelPath,
      settings,
      clock,
      open: (events) => this.#open(events),
      loadLimitMs: this.#loadLimitMs(),
      onDeath: (reason) => this.#restartAfter(reason),
    });
    const mismatch = this.#mismatch(loaded);
    if (mismatch !== undefined) {
      await link.close();
      throw mismatch;
    }
    this.#loadMs ??= clock.now() - startedMs;
    this.#link = link;
  }

  /** Only a replacement in a process: the first load may take any time, and a thread cannot be stopped. */
  #loadLimitMs(): number | undefined {
    if (this.#loadMs === undefined || this.#placement.isolation === "thread") return undefined;
    return Math.max(SHORTEST_LOAD_LIMIT_MS, LOAD_TIMES * this.#loadMs);
  }

  #open(events: TransportEvents): InstanceTransport {
    const { mainFile, log, clock } = this.#options;
    if (this.#placement.isolation === "thread") return openThread(mainFile ?? besideThis("onnx-worker"), events);
    return openProcess(
      { mainFile: mainFile ?? besideThis("onnx-child"), limits: this.#placement, name: this.name, log, clock },
      events,
    );
  }

  #restartAfter(reason: InferenceError): void {
    const { clock, log, random = Math.random } = this.#options;
    this.#link = undefined;
    this.#spare = undefined;
    const isAtOnce = this.#isReplacedAtOnce;
    this.#isReplacedAtOnce = false;
    if (!isAtOnce) this.#counts.crashes++;
    const { history, delayMs, isDown } = isAtOnce
      ? { history: this.#history, delayMs: 0, isDown: false }
      : afterCrash(this.#history, clock.now(), random());
    this.#history = history;
    this.#setOutage({ isDown, reason: outageError(reason, delayMs, isDown) });
    if (this.#closed !== undefined) return;
    log.error({ instance: this.name, restartMs: Math.round(delayMs) }, `${reason.message}; it is started again`);
    this.#cancelRestart = clock.at(clock.now() + delayMs, () => {
      this.#restarting = this.#restart();
    });
  }

  async #restart(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      this.#restartAfter(InferenceError.from(error));
      return;
    }
    this.#counts.restarts++;
    this.#options.log.info({ instance: this.name, restarts: this.#counts.restarts }, `${this.#label()} runs again`);
    this.#setOutage(undefined);
  }

  #setOutage(outage: Outage | undefined): void {
    this.#outage = outage;
    this.#onOutageChange();
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

/** What a request hears that meets no instance. */
function outageError({ message }: InferenceError, delayMs: number, isDown: boolean): InferenceError {
  const next = `it is started again in ${(delayMs / 1000).toFixed(1)} s`;
  return new InferenceError("UNAVAILABLE", isDown ? `${message}; it ended too often, ${next}` : `${message}; ${next}`);
}

/** A main file beside this one: TypeScript in a checkout, JavaScript in the built package. */
function besideThis(name: string): URL {
  return new URL(`./${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
}
