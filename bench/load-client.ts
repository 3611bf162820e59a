/**
 * The load generator, a process of its own that takes LoadCommands over IPC. It speaks gRPC's framing straight over
 * node:http2 and sends bytes encoded beforehand, so it leaves as much of the machine to the server as a Node client
 * can. It ends with its parent.
 */
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from "node:http2";
import { type LoadCommand, type LoadPlan, type LoadReply, type LoadResult, MODEL_INFER_PATH } from "./load-protocol.ts";
import { cpuSeconds, machineUsage } from "./process-usage.ts";
import { percentile } from "./statistics.ts";

/**
 * Larger than node:http2's own 64 KiB, so that answers of 600 KB do not wait for window updates, and not much larger:
 * node:http2 stops reading while a write of its own is held up, so two such ends whose windows both exceed the
 * sockets' buffers can wait for each other for ever (seen with 16 MiB here and 8 MiB at the server).
 */
const WINDOW_BYTES = 1024 * 1024;
/** Node's own 10 MB would reset streams at 32 images in flight. */
const SESSION_MEMORY_MB = 1024;
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
function call(
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
function toFrame(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.byteLength);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message.byteLength, 1);
  frame.set(message, 5);
  return frame;
}

/** One measurement in hand. */
class ClosedLoop {
  readonly #plan: LoadPlan;
  readonly #sessions: readonly ClientHttp2Session[];
  readonly #frames: readonly Buffer[];
  readonly #latenciesMs: Float64Array;
  readonly #failures: Record<string, number> = {};
  #resolve: (result: LoadResult) => void = () => undefined;
  #reject: (reason: Error) => void = () => undefined;
  #phase: "warm-up" | "window" | "drain" = "warm-up";
  #next = 0;
  #inFlight = 0;
  #answered = 0;
  #failed = 0;
  #opened = snapshot([]);
  #closed = snapshot([]);
  #timer: NodeJS.Timeout;

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
      for (let slot = 0; slot < this.#plan.concurrency; slot++) this.#send(slot);
    });
  }

  #send(slot: number): void {
    const session = this.#sessions[slot % this.#sessions.length];
    const frame = this.#frames[this.#next++ % this.#frames.length];
    if (session === undefined || frame === undefined) throw new Error("no connection or no message to send");
    this.#inFlight++;
    const sentMs = performance.now();
    call(session, frame, undefined, (end) => {
      this.#inFlight--;
      if (end.status === "0") this.#count(performance.now() - sentMs);
      else this.#fail(`${end.status}: ${end.text}`);
      if (this.#phase !== "drain") this.#send(slot);
      else if (this.#inFlight === 0) this.#finish();
    });
  }

  #count(latencyMs: number): void {
    if (this.#phase !== "window") return;
    this.#latenciesMs[this.#answered++] = latencyMs;
    if (this.#answered === this.#plan.maxRequests) this.#close();
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
    if (this.#phase === "drain") return;
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
  }

  #finish(): void {
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

/** The generator's connections and payloads. */
class LoadClient {
  readonly #sessions = new Map<string, ClientHttp2Session[]>();
  readonly #frames = new Map<string, readonly Buffer[]>();

  async handle(command: LoadCommand): Promise<LoadReply> {
    switch (command.kind) {
      case "connect":
        this.#sessions.set(command.subject, await openSessions(command.port, command.connections));
        return { kind: "done" };
      case "payload":
        this.#frames.set(command.workload, command.messages.map(toFrame));
        return { kind: "done" };
      case "once":
        return this.#once(command.subject, command.workload, command.index);
      case "measure": {
        const loop = new ClosedLoop(command, this.#sessionsOf(command.subject), this.#framesOf(command.workload));
        return { kind: "measured", result: await loop.run() };
      }
    }
  }

  #once(subject: string, workload: string, index: number): Promise<LoadReply> {
    const session = this.#sessionsOf(subject)[0];
    const frame = this.#framesOf(workload)[index];
    if (session === undefined || frame === undefined) throw new Error(`${workload} has no message ${index}`);
    const chunks: Buffer[] = [];
    return new Promise((resolve) => {
      call(
        session,
        frame,
        (chunk) => chunks.push(chunk),
        (end) => {
          resolve({ kind: "answer", ...end, message: Buffer.concat(chunks).subarray(5) });
        },
      );
    });
  }

  #sessionsOf(subject: string): readonly ClientHttp2Session[] {
    const sessions = this.#sessions.get(subject);
    if (sessions === undefined) throw new Error(`not connected to ${subject}`);
    return sessions;
  }

  #framesOf(workload: string): readonly Buffer[] {
    const frames = this.#frames.get(workload);
    if (frames === undefined) throw new Error(`no messages of ${workload}`);
    return frames;
  }
}

function openSessions(port: number, count: number): Promise<ClientHttp2Session[]> {
  return Promise.all(Array.from({ length: count }, () => openSession(port)));
}

function openSession(port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`, {
    settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
    maxSessionMemory: SESSION_MEMORY_MB,
  });
  return new Promise((resolve, reject) => {
    session.once("error", reject);
    session.once("connect", () => {
      session.setLocalWindowSize(WINDOW_BYTES);
      session.off("error", reject);
      session.on("error", (error) => console.error(`connection to port ${port}: ${error.message}`));
      session.on("goaway", (code) => {
        if (code !== 0) console.error(`connection to port ${port}: GOAWAY with code ${code}`);
      });
      resolve(session);
    });
  });
}

const client = new LoadClient();
process.on("message", (command: LoadCommand) => {
  client.handle(command).then(
    (reply) => process.send?.(reply),
    (error: unknown) => process.send?.({ kind: "failed", text: String(error) } satisfies LoadReply),
  );
});
process.on("disconnect", () => process.exit());
