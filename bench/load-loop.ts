/** One measurement in hand: a closed loop (a fixed number in flight) or an open one (requests at a rate, answered or not). */
import { type ClientHttp2Session, constants, type IncomingHttpHeaders } from "node:http2";
import { seededRandom } from "../planner/cascade/random.ts";
import { type LoadPlan, type LoadResult, MODEL_INFER_PATH } from "./load-protocol.ts";
import { cpuSeconds, machineUsage } from "./process-usage.ts";
import { percentile } from "./statistics.ts";

/** How long requests in flight may take to finish after the window closed. */
const DRAIN_MS = 10_000;
/** A server that fails this often is not worth measuring further. */
const MAX_FAILURES = 100;

const HEADERS = {
  [constants.HTTP2_HEADER_METHOD]: "POST",
  [constants.HTTP2_HEADER_PATH]: MODEL_INFER_PATH,
  "content-type": "application/grpc",
  te: "trailers",
};

/** How one call ended. */
interface CallEnd {
  readonly status: string;
  readonly text: string;
}

/** Sends one framed message and calls back once, when the answer is whole or the stream is gone. */
export function call(
  session: ClientHttp2Session,
  frame: Uint8Array,
  onData: ((chunk: Buffer) => void) | undefined,
  onEnd: (end: CallEnd) => void,
): void {
  const stream = session.request(HEADERS);
  let status: CallEnd | undefined;
  let ended = false;
  const readStatus = (headers: IncomingHttpHeaders) => {
    const code = headers["grpc-status"];
    if (code !== undefined) status = { status: String(code), text: String(headers["grpc-message"] ?? "") };
  };
  const end = (reason: string) => {
    if (ended) return;
    ended = true;
    onEnd(status ?? { status: "none", text: reason });
  };
  stream.on("response", readStatus);
  stream.on("trailers", readStatus);
  if (onData === undefined) stream.resume();
  else stream.on("data", onData);
  stream.on("end", () => end("the stream ended without grpc-status"));
  stream.on("error", (error) => end(error.message));
  stream.on("close", () => end("the stream was closed"));
  stream.end(frame);
}

/** Puts gRPC's five bytes before a message: not compressed, length. */
export function toFrame(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.byteLength);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message.byteLength, 1);
  frame.set(message, 5);
  return frame;
}

/** Chooses when an open loop's requests start; the same every time. */
const SEED = 1;

/** One measurement. */
export class LoadLoop {
  readonly #plan: LoadPlan;
  readonly #sessions: readonly ClientHttp2Session[];
  readonly #frames: readonly Buffer[];
  readonly #latenciesMs: Float64Array;
  readonly #failures: Record<string, number> = {};
  #resolve: (result: LoadResult) => void = () => undefined;
  #reject: (reason: Error) => void = () => undefined;
  #phase: "warm-up" | "window" | "drain" | "done" = "warm-up";
  #next = 0;
  #inFlight = 0;
  #answered = 0;
  #failed = 0;
  #opened = snapshot([]);
  #closed = snapshot([]);
  #timer: NodeJS.Timeout;
  /** Open loop: when the next request is to start. */
  #dueMs = 0;
  readonly #random = seededRandom(SEED);

  constructor(plan: LoadPlan, sessions: readonly ClientHttp2Session[], frames: readonly Buffer[]) {
    this.#plan = plan;
    this.#sessions = sessions;
    this.#frames = frames;
    this.#latenciesMs = new Float64Array(plan.maxRequests);
    this.#timer = setTimeout(() => this.#open(), plan.warmupMs);
  }

  run(): Promise<LoadResult> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      const { ratePerSecond, concurrency } = this.#plan;
      if (ratePerSecond !== undefined) {
        this.#dueMs = performance.now();
        this.#sendDue(ratePerSecond);
      } else {
        for (let slot = 0; slot < concurrency; slot++) this.#send(slot, performance.now());
      }
    });
  }

  /** Sends what is due, now and about every millisecond, at the times of a Poisson process. */
  #sendDue(ratePerSecond: number): void {
    if (this.#phase === "drain" || this.#phase === "done") return;
    while (this.#dueMs <= performance.now()) {
      this.#send(this.#next, this.#dueMs);
      this.#dueMs += (-Math.log(1 - this.#random()) * 1000) / ratePerSecond;
    }
    setTimeout(() => this.#sendDue(ratePerSecond), 1);
  }

  /** `startMs`: when the request was to start, from which its latency counts. */
  #send(slot: number, startMs: number): void {
    const session = this.#sessions[slot % this.#sessions.length];
    const frame = this.#frames[this.#next++ % this.#frames.length];
    if (session === undefined || frame === undefined) throw new Error("no connection or no message to send");
    this.#inFlight++;
    call(session, frame, undefined, (end) => {
      this.#inFlight--;
      if (end.status === "0") this.#count(startMs);
      else this.#fail(`${end.status}: ${end.text}`);
      if (this.#phase === "drain") {
        if (this.#inFlight === 0) this.#finish();
      } else if (this.#phase !== "done" && this.#plan.ratePerSecond === undefined) this.#send(slot, performance.now());
    });
  }

  #count(startMs: number): void {
    if (!this.#isMeasured(startMs) || this.#answered === this.#plan.maxRequests) return;
    this.#latenciesMs[this.#answered++] = performance.now() - startMs;
    if (this.#answered === this.#plan.maxRequests) this.#close();
  }

  /** A closed loop measures what is answered in the window; an open one what starts in it, so that no slow answer is lost. */
  #isMeasured(startMs: number): boolean {
    if (this.#plan.ratePerSecond === undefined) return this.#phase === "window";
    if (this.#phase === "warm-up" || startMs < this.#opened.atMs) return false;
    return this.#phase === "window" || startMs < this.#closed.atMs;
  }

  #fail(reason: string): void {
    this.#failures[reason] = (this.#failures[reason] ?? 0) + 1;
    if (++this.#failed === MAX_FAILURES) this.#close();
  }

  #open(): void {
    if (this.#phase !== "warm-up") return;
    this.#phase = "window";
    this.#opened = snapshot(this.#plan.serverPids);
    this.#timer = setTimeout(() => this.#close(), this.#plan.measureMs);
  }

  #close(): void {
    if (this.#phase === "drain" || this.#phase === "done") return;
    if (this.#phase === "warm-up") this.#opened = snapshot(this.#plan.serverPids);
    this.#closed = snapshot(this.#plan.serverPids);
    this.#phase = "drain";
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#reject(
        new Error(
          `${this.#inFlight} requests had no answer ${DRAIN_MS / 1000} s after the window, ${this.#plan.subject}, ${this.#plan.workload}`,
        ),
      );
    }, DRAIN_MS);
    if (this.#inFlight === 0) this.#finish();
  }

  #finish(): void {
    this.#phase = "done";
    clearTimeout(this.#timer);
    const ascending = this.#latenciesMs.subarray(0, this.#answered).sort();
    const opened = this.#opened;
    const closed = this.#closed;
    const seconds = (closed.atMs - opened.atMs) / 1000;
    const clientCpuSeconds = closed.clientCpuSeconds - opened.clientCpuSeconds;
    const serverCpuSeconds = difference(closed.serverCpuSeconds, opened.serverCpuSeconds);
    const busySeconds = difference(closed.machine?.busySeconds, opened.machine?.busySeconds);
    const stealSeconds = difference(closed.machine?.stealSeconds, opened.machine?.stealSeconds);
    this.#resolve({
      seconds,
      answered: this.#answered,
      failures: this.#failures,
      p50Ms: percentile(ascending, 0.5),
      p95Ms: percentile(ascending, 0.95),
      p99Ms: percentile(ascending, 0.99),
      serverCpuSeconds,
      clientCpuSeconds,
      otherCores:
        busySeconds === undefined ? undefined : (busySeconds - clientCpuSeconds - (serverCpuSeconds ?? 0)) / seconds,
      stealCores: stealSeconds === undefined ? undefined : stealSeconds / seconds,
    });
  }
}

/** Clocks and counters at one edge of the window, read together. */
function snapshot(serverPids: readonly number[]) {
  const client = process.cpuUsage();
  return {
    atMs: performance.now(),
    serverCpuSeconds: cpuSeconds(serverPids),
    clientCpuSeconds: (client.user + client.system) / 1e6,
    machine: machineUsage(),
  };
}

function difference(later: number | undefined, earlier: number | undefined): number | undefined {
  return later === undefined || earlier === undefined ? undefined : later - earlier;
}
