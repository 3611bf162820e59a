/** The server and the load generator of bench/cascade.ts, and what is measured on them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeInferResponse } from "../proto/codec/decode-response.ts";
import type { InferenceResponse } from "../proto/inference.ts";
import { Child } from "./child.ts";
import { CHECKOUT } from "./environment.ts";
import type { LoadCommand, LoadReply, LoadResult } from "./load-protocol.ts";
import { processTree } from "./process-usage.ts";
import { ServerProcess } from "./server-process.ts";

const SUBJECT = "server";
const MAX_REQUESTS = 500_000;

/** One server over a repository that `write` fills. */
export class CascadeServer {
  readonly #folder: string;
  readonly #load: Child<LoadCommand, LoadReply>;
  readonly #server: ServerProcess;

  private constructor(folder: string, load: Child<LoadCommand, LoadReply>, server: ServerProcess) {
    this.#folder = folder;
    this.#load = load;
    this.#server = server;
  }

  static async start(write: (repository: string) => void): Promise<CascadeServer> {
    const folder = mkdtempSync(join(tmpdir(), "hybridserve-bench-"));
    const load = new Child<LoadCommand, LoadReply>("load-client.ts");
    try {
      write(join(folder, "models"));
      const server = await ServerProcess.start({
        name: SUBJECT,
        checkout: CHECKOUT,
        repository: join(folder, "models"),
        logFolder: folder,
        nodeFlags: [],
      });
      const running = new CascadeServer(folder, load, server);
      await load.request({ kind: "connect", subject: SUBJECT, port: server.grpcPort, connections: 1 });
      return running;
    } catch (error) {
      load.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get grpcPort(): number {
    return this.#server.grpcPort;
  }

  /** Gives the load generator the messages of a workload. */
  async add(workload: string, messages: readonly Uint8Array[]): Promise<void> {
    await this.#load.request({ kind: "payload", workload, messages });
  }

  /** Every message once, so many in flight; throws with the first that fails. */
  async answers(workload: string, concurrency: number): Promise<InferenceResponse[]> {
    const reply = await this.#load.request({ kind: "each", subject: SUBJECT, workload, concurrency });
    if (reply.kind !== "answers") throw new Error(`the load generator answered ${reply.kind}`);
    return reply.messages.map((message) => decodeInferResponse(message));
  }

  /** `load.ratePerSecond`: open loop. Throws where a request failed or none was answered. */
  async measure(
    workload: string,
    load: { readonly concurrency: number; readonly ratePerSecond?: number },
    warmupMs: number,
    measureMs: number,
  ): Promise<LoadResult> {
    const reply = await this.#load.request({
      kind: "measure",
      subject: SUBJECT,
      workload,
      ...load,
      warmupMs,
      measureMs,
      maxRequests: MAX_REQUESTS,
      serverPids: processTree(this.#server.pid),
    });
    if (reply.kind !== "measured") throw new Error(`the load generator answered ${reply.kind}`);
    const failures = Object.entries(reply.result.failures).map(([reason, count]) => `${count} x ${reason}`);
    if (failures.length > 0) throw new Error(`${workload}: ${failures.join("; ")}`);
    if (reply.result.answered === 0) throw new Error(`${workload}: no answer within ${measureMs} ms`);
    return reply.result;
  }

  async close(): Promise<void> {
    this.#load.close();
    await this.#server.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
