/** One bench run's processes: servers under test, load generator and the two floors; and one measurement on them. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeInferResponse } from "../proto/codec/decode-response.ts";
import { Child } from "./child.ts";
import type { ComputeCommand, ComputeReply } from "./compute-protocol.ts";
import type { EchoCommand, EchoReply } from "./echo-protocol.ts";
import { readImages } from "./images.ts";
import type { LoadCommand, LoadReply, LoadResult } from "./load-protocol.ts";
import { processTree, residentMb } from "./process-usage.ts";
import { DEMO_LEVELS, modelFile, writeRepository } from "./repository.ts";
import { readServedCounts, type ServedCount, servedBetween } from "./served.ts";
import { ServerProcess } from "./server-process.ts";
import { BENCH_IMAGES, createWorkloads, type LevelAnswers, type Workload } from "./workloads.ts";

/** The transport floor's name among the subjects. */
export const ECHO = "echo";
/** Bound on the answers of one measurement. */
const MAX_REQUESTS = 500_000;
/** Load on every subject and workload before anything is measured, so that all run compiled code. */
const FIRST_LOAD_MS = 400;
const FIRST_LOAD_CONCURRENCY = 32;
/** Answers checked per workload and server. */
const CHECKED_ANSWERS = 4;

export interface BenchOptions {
  /** Servers by the name that tables give them, and the checkouts they come from. */
  readonly servers: readonly { readonly name: string; readonly checkout: string }[];
  /** Names of the workloads wanted; empty: all. */
  readonly only: readonly string[];
  readonly connections: number;
  readonly nodeFlags: readonly string[];
}

/** One measured window of one subject. Times are per request; a missing figure is one the system does not tell. */
export interface Measurement extends LoadResult {
  readonly requestsPerSecond: number;
  readonly serverCpuUs: number | undefined;
  readonly clientCpuUs: number;
  readonly rssMb: number | undefined;
  /** Rows and executions of every model that ran; empty for the echo. */
  readonly served: ReadonlyMap<string, ServedCount>;
}

export class Bench {
  readonly workloads: readonly Workload[];
  readonly #folder: string;
  readonly #servers = new Map<string, ServerProcess>();
  readonly #load = new Child<LoadCommand, LoadReply>("load-client.ts");
  readonly #compute = new Child<ComputeCommand, ComputeReply>("compute-floor.ts");
  readonly #echo = new Child<EchoCommand, EchoReply>("echo-server.ts");
  /** The answer of the first server to each workload's first message. */
  readonly #answers = new Map<string, Uint8Array>();

  private constructor(folder: string, workloads: readonly Workload[]) {
    this.#folder = folder;
    this.workloads = workloads;
  }

  /** Starts everything, checks the first answers of every workload; throws on a wrong one. */
  static async open(options: BenchOptions): Promise<Bench> {
    const folder = mkdtempSync(join(tmpdir(), "hybridserve-bench-"));
    const images = readImages(BENCH_IMAGES);
    const all = createWorkloads(images, DEMO_LEVELS);
    const unknown = options.only.find((name) => !all.some((workload) => workload.name === name));
    const names = all.map((workload) => workload.name).join(", ");
    if (unknown !== undefined) throw new Error(`there is no workload "${unknown}"; there are ${names}`);
    const workloads = options.only.length === 0 ? all : all.filter((workload) => options.only.includes(workload.name));
    const bench = new Bench(folder, workloads);
    try {
      const echo = await bench.#echo.next();
      if (echo.kind !== "listening") throw new Error(`the echo server answered ${echo.kind}`);
      const repository = join(folder, "models");
      mkdirSync(repository);
      writeRepository(repository);
      const answers = await bench.#loadLevels(repository, images);
      for (const { messages, name } of workloads) {
        await bench.#load.request({ kind: "payload", workload: name, messages });
      }
      await bench.#load.request({ kind: "connect", subject: ECHO, port: echo.port, connections: options.connections });
      for (const { name, checkout } of options.servers) {
        const server = await ServerProcess.start({
          name,
          checkout,
          repository,
          logFolder: folder,
          nodeFlags: options.nodeFlags,
        });
        bench.#servers.set(name, server);
        const { connections } = options;
        await bench.#load.request({ kind: "connect", subject: name, port: server.grpcPort, connections });
        for (const workload of workloads) await bench.#checkAnswers(name, workload, answers);
      }
      for (const subject of [...bench.#servers.keys(), ECHO]) {
        for (const workload of workloads) {
          await bench.#putUnderLoad(subject, workload, FIRST_LOAD_CONCURRENCY, FIRST_LOAD_MS, 1);
        }
      }
      return bench;
    } catch (error) {
      await bench.close();
      throw error;
    }
  }

  /** Puts one subject (a server's name or ECHO) under load; throws where a request failed or none was answered. */
  async measure(
    subject: string,
    workload: Workload,
    concurrency: number,
    warmupMs: number,
    measureMs: number,
  ): Promise<Measurement> {
    const server = this.#servers.get(subject);
    const before = server && (await readServedCounts(server.metricsPort));
    const result = await this.#putUnderLoad(subject, workload, concurrency, warmupMs, measureMs);
    if (result.answered === 0) throw new Error(`${subject}, ${workload.name}: no answer within ${measureMs} ms`);
    const after = server && (await readServedCounts(server.metricsPort));
    return {
      ...result,
      requestsPerSecond: result.answered / result.seconds,
      serverCpuUs: result.serverCpuSeconds && (result.serverCpuSeconds * 1e6) / result.answered,
      clientCpuUs: (result.clientCpuSeconds * 1e6) / result.answered,
      rssMb: residentMb(this.#processesOf(subject)),
      served: before === undefined || after === undefined ? new Map() : servedBetween(before, after),
    };
  }

  /**
   * CPU µs per request of bare onnxruntime for the work a server did: every level's rows at the mean batch size it
   * ran them in. 0 for identity.
   */
  async computeFloorUs(workload: Workload, served: ReadonlyMap<string, ServedCount>, ms: number): Promise<number> {
    const requests = (served.get(workload.model)?.rows ?? 0) / workload.rows;
    let totalUs = 0;
    for (const model of workload.computes) {
      const count = served.get(model);
      if (count === undefined) continue;
      const batch = Math.max(1, Math.round(count.rows / count.executions));
      const reply = await this.#compute.request({ kind: "run", model, batch, ms });
      if (reply.kind !== "ran") throw new Error(`bare onnxruntime answered ${reply.kind}`);
      totalUs += reply.cpuUsPerRow * count.rows;
    }
    return requests === 0 ? 0 : totalUs / requests;
  }

  /** Sends message `index` of a workload to a server once. */
  async once(subject: string, workload: string, index: number): Promise<Extract<LoadReply, { kind: "answer" }>> {
    const reply = await this.#load.request({ kind: "once", subject, workload, index });
    if (reply.kind !== "answer") throw new Error(`the load generator answered ${reply.kind}`);
    return reply;
  }

  /** Gives the load generator messages beyond the workloads' own. */
  async addMessages(workload: string, messages: readonly Uint8Array[]): Promise<void> {
    await this.#load.request({ kind: "payload", workload, messages });
  }

  /** Stops every process and removes the temporary folder. */
  async close(): Promise<void> {
    this.#load.close();
    this.#compute.close();
    this.#echo.close();
    await Promise.all([...this.#servers.values()].map((server) => server.stop()));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #putUnderLoad(
    subject: string,
    workload: Workload,
    concurrency: number,
    warmupMs: number,
    measureMs: number,
  ): Promise<LoadResult> {
    if (subject === ECHO) {
      await this.#echo.request({ answer: workload.echoes ? undefined : this.#answers.get(workload.name) });
    }
    const reply = await this.#load.request({
      kind: "measure",
      subject,
      workload: workload.name,
      concurrency,
      warmupMs,
      measureMs,
      maxRequests: MAX_REQUESTS,
      serverPids: this.#processesOf(subject),
    });
    if (reply.kind !== "measured") throw new Error(`the load generator answered ${reply.kind}`);
    const failures = Object.entries(reply.result.failures).map(([reason, count]) => `${count} x ${reason}`);
    if (failures.length === 0) return reply.result;
    throw new Error(`${subject}, ${workload.name}, ${concurrency} in flight: ${failures.join("; ")}`);
  }

  #processesOf(subject: string): number[] {
    return processTree(this.#servers.get(subject)?.pid ?? this.#echo.pid);
  }

  async #loadLevels(repository: string, images: ReturnType<typeof readImages>): Promise<LevelAnswers> {
    const answers = new Map<string, Float32Array>();
    const data = new Uint8Array(images.pixels.buffer);
    for (const model of DEMO_LEVELS) {
      await this.#compute.request({
        kind: "load",
        model,
        file: modelFile(repository, model),
        data,
        shape: images.shape,
      });
      const reply = await this.#compute.request({ kind: "answers", model });
      if (reply.kind !== "answers") throw new Error(`bare onnxruntime answered ${reply.kind}`);
      answers.set(model, new Float32Array(new Uint8Array(reply.data).buffer));
    }
    return answers;
  }

  async #checkAnswers(subject: string, workload: Workload, levelAnswers: LevelAnswers): Promise<void> {
    for (let index = 0; index < Math.min(CHECKED_ANSWERS, workload.messages.length); index++) {
      const { status, text, message } = await this.once(subject, workload.name, index);
      if (status !== "0") throw new Error(`${subject}, ${workload.name}: status ${status}: ${text}`);
      const fault = workload.check(decodeInferResponse(message), index, levelAnswers);
      if (fault !== undefined)
        throw new Error(`${subject}, ${workload.name}, message ${index}: wrong answer: ${fault}`);
      if (!this.#answers.has(workload.name)) this.#answers.set(workload.name, message);
    }
  }
}
