/** The server under test, started from its command line as a user would start it. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;

export interface ServerProcessOptions {
  /** What the tables call it. */
  readonly name: string;
  /** Folder of the project whose server this is. */
  readonly checkout: string;
  readonly repository: string;
  readonly logFolder: string;
  /** Flags for node itself, such as `--cpu-prof`. */
  readonly nodeFlags: readonly string[];
  /** Flags for `serve` beside repository, addresses and ports. */
  readonly serveFlags?: readonly string[];
  /** Default: a minute. */
  readonly readyTimeoutMs?: number;
}

/** A running `hybridserve serve`. */
export class ServerProcess {
  readonly name: string;
  readonly pid: number;
  readonly grpcPort: number;
  readonly metricsPort: number;
  /** File that holds what the server printed. */
  readonly logFile: string;
  readonly #process: ChildProcess;

  private constructor(name: string, child: ChildProcess, grpcPort: number, metricsPort: number, logFile: string) {
    this.name = name;
    this.pid = child.pid ?? 0;
    this.grpcPort = grpcPort;
    this.metricsPort = metricsPort;
    this.logFile = logFile;
    this.#process = child;
  }

  /**
   * Starts the server over a model repository, in its default configuration but for addresses and ports, and waits
   * until it is ready. Throws with the end of the server's log where it does not get there.
   */
  static async start(options: ServerProcessOptions): Promise<ServerProcess> {
    const [grpcPort, httpPort, metricsPort] = await freePorts();
    const logFile = join(options.logFolder, `${options.name}.log`);
    const log = openSync(logFile, "w");
    const flags = [
      `--model-repository=${options.repository}`,
      ...["grpc", "http", "metrics"].map((port) => `--${port}-address=127.0.0.1`),
      `--grpc-port=${grpcPort}`,
      `--http-port=${httpPort}`,
      `--metrics-port=${metricsPort}`,
      ...(options.serveFlags ?? []),
    ];
    const command = [...options.nodeFlags, join(options.checkout, "bin/hybridserve.js"), "serve", ...flags];
    const child = spawn(process.execPath, command, { stdio: ["ignore", log, log] });
    closeSync(log);
    const killAtExit = () => child.kill("SIGKILL");
    process.once("exit", killAtExit);
    child.once("exit", () => process.off("exit", killAtExit));
    const server = new ServerProcess(options.name, child, grpcPort, metricsPort, logFile);
    await server.#untilReady(httpPort, options.readyTimeoutMs ?? READY_TIMEOUT_MS);
    return server;
  }

  /** Asks the server to stop and waits; kills it after a while. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }

  async #untilReady(httpPort: number, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      if (this.#process.exitCode !== null) throw this.#failure(`ended with exit code ${this.#process.exitCode}`);
      if (performance.now() > deadline) throw this.#failure(`is not ready after ${timeoutMs / 1000} s`);
      if (await isReady(httpPort)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  #failure(what: string): Error {
    const tail = readFileSync(this.logFile, "utf8").trimEnd().split("\n").slice(-20).join("\n");
    return new Error(`the server "${this.name}" ${what}; its last lines:\n${tail}`);
  }
}

async function isReady(httpPort: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${httpPort}/v2/health/ready`);
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

/** Three ports that were free a moment ago. */
async function freePorts(): Promise<[number, number, number]> {
  const servers = [createServer(), createServer(), createServer()] as const;
  const ports = servers.map(
    (server) =>
      new Promise<number>((resolve, reject) => {
        server.once("error", reject);
        server.listen(0, "127.0.0.1", () => {
          const address = server.address();
          resolve(typeof address === "object" && address !== null ? address.port : 0);
        });
      }),
  );
  const [first = 0, second = 0, third = 0] = await Promise.all(ports);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return [first, second, third];
}
