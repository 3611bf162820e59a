/** `hybridserve` as a process of its own, its output collected. */
import { type ChildProcess, spawn } from "node:child_process";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

export const LAUNCHER = fileURLToPath(new URL("../../../bin/hybridserve.js", import.meta.url));

/** Flags that open every port on a free number of the loopback address. */
export const FREE_PORTS = ["grpc", "http", "metrics"].flatMap((name) => [
  `--${name}-address=127.0.0.1`,
  `--${name}-port=0`,
]);

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ProcessOptions {
  /** The Node that runs the launcher; default: this one. */
  readonly node?: string;
  readonly execArgv?: readonly string[];
  readonly script?: string;
}

export class ServedProcess {
  stdout = "";
  stderr = "";
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly #waiting = new Set<() => void>();

  /** Starts the launcher; what still runs when the test ends is killed. */
  constructor(t: TestContext, args: readonly string[], options: ProcessOptions = {}) {
    const { node = process.execPath, execArgv = [], script = LAUNCHER } = options;
    this.child = spawn(node, [...execArgv, script, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    this.child.stdout?.on("data", (data) => {
      this.stdout += String(data);
      this.#wake();
    });
    this.child.stderr?.on("data", (data) => {
      this.stderr += String(data);
      this.#wake();
    });
    this.ended = new Promise((resolve) => {
      this.child.once("close", (code, signal) => {
        resolve({ code, signal });
        this.#wake();
      });
    });
    t.after(async () => {
      this.child.kill("SIGKILL");
      await this.ended;
    });
  }

  /** Waits until the output matches; throws with all of it when the process ends first. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      if (match !== null) return match;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`ended without printing ${pattern}:\n${this.stdout}\n${this.stderr}`);
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** The port of a service, once it is open. */
  async port(service: "GRPCInferenceService" | "HTTPService" | "Metrics Service"): Promise<number> {
    const match = await this.printed(new RegExp(`Started ${service} at 127\\.0\\.0\\.1:(\\d+)\n`));
    return Number(match[1]);
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}
