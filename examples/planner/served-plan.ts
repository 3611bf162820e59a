/** The planned server and a load generator beside it: what is asked of them, and whether the answers are right. */
import { Child } from "../../bench/child.ts";
import { CHECKOUT } from "../../bench/environment.ts";
import type { LoadCommand, LoadReply, LoadResult } from "../../bench/load-protocol.ts";
import { processTree } from "../../bench/process-usage.ts";
import { ServerProcess } from "../../bench/server-process.ts";
import { decodeInferResponse } from "../../proto/codec/decode-response.ts";
import { encodeInferRequest } from "../../proto/codec/encode-request.ts";
import { type InferenceResponse, NO_PARAMETERS } from "../../proto/inference.ts";
import { CLASSES, SEQUENCE } from "./bert.ts";
import type { LabelledRows } from "./family.ts";

const SUBJECT = "server";
const MOST_REQUESTS = 500_000;
/** The golden rows of stages and cascade run at the start: slow where others use the machine. */
const READY_TIMEOUT_MS = 240_000;

export class ServedPlan {
  readonly #server: ServerProcess;
  readonly #load: Child<LoadCommand, LoadReply>;

  private constructor(server: ServerProcess, load: Child<LoadCommand, LoadReply>) {
    this.#server = server;
    this.#load = load;
  }

  /** `rows`: the requests to come, each row by itself, to each of the models. */
  static async start(
    paths: { readonly repository: string; readonly plan: string; readonly logFolder: string },
    models: readonly string[],
    rows: LabelledRows,
  ): Promise<ServedPlan> {
    const server = await ServerProcess.start({
      name: "serve",
      checkout: CHECKOUT,
      repository: paths.repository,
      logFolder: paths.logFolder,
      nodeFlags: [],
      serveFlags: [`--plan=${paths.plan}`],
      readyTimeoutMs: READY_TIMEOUT_MS,
    });
    const load = new Child<LoadCommand, LoadReply>("load-client.ts");
    const served = new ServedPlan(server, load);
    try {
      await load.request({ kind: "connect", subject: SUBJECT, port: server.grpcPort, connections: 1 });
      for (const model of models) {
        await load.request({ kind: "payload", workload: model, messages: requestsOf(model, rows) });
      }
    } catch (error) {
      await served.stop();
      throw error;
    }
    return served;
  }

  get pid(): number {
    return this.#server.pid;
  }

  /** Every row once; rejects with the first that fails. */
  async answers(model: string, inFlight: number): Promise<InferenceResponse[]> {
    const reply = await this.#load.request({ kind: "each", subject: SUBJECT, workload: model, concurrency: inFlight });
    if (reply.kind !== "answers") throw new Error(`the load generator answered ${reply.kind}`);
    return reply.messages.map((message) => decodeInferResponse(message));
  }

  /** Rejects where a request fails or none is answered. */
  async measure(
    model: string,
    load: { readonly concurrency: number; readonly ratePerSecond?: number },
    warmupMs: number,
    measureMs: number,
  ): Promise<LoadResult> {
    const reply = await this.#load.request({
      kind: "measure",
      subject: SUBJECT,
      workload: model,
      ...load,
      warmupMs,
      measureMs,
      maxRequests: MOST_REQUESTS,
      serverPids: processTree(this.#server.pid),
    });
    if (reply.kind !== "measured") throw new Error(`the load generator answered ${reply.kind}`);
    const failures = Object.entries(reply.result.failures).map(([reason, count]) => `${count} x ${reason}`);
    if (failures.length > 0) throw new Error(`requests to ${model} failed: ${failures.join("; ")}`);
    if (reply.result.answered === 0) throw new Error(`${model}: no answer within ${measureMs} ms`);
    return reply.result;
  }

  async stop(): Promise<void> {
    this.#load.close();
    await this.#server.stop();
  }
}

/** The class that each answer is surest of. */
export function classesOf(responses: readonly InferenceResponse[]): number[] {
  return responses.map(({ outputs }) => {
    const logits = outputs.find(({ name }) => name === "logits")?.data;
    if (logits === undefined) throw new Error("an answer has no logits");
    const view = new DataView(logits.buffer, logits.byteOffset, logits.byteLength);
    const values = Array.from({ length: CLASSES }, (_, i) => view.getFloat32(4 * i, true));
    return values.indexOf(Math.max(...values));
  });
}

function requestsOf(modelName: string, { count, tokens }: LabelledRows): Buffer[] {
  return Array.from({ length: count }, (_, row) => {
    const data = new Uint8Array(tokens.slice(row * SEQUENCE, (row + 1) * SEQUENCE).buffer);
    return encodeInferRequest({
      modelName,
      modelVersion: "",
      id: "",
      parameters: NO_PARAMETERS,
      inputs: [{ name: "tokens", datatype: "INT64", shape: [1, SEQUENCE], data }],
      requestedOutputs: [],
    });
  });
}
