/** A gRPC server over a fake repository on a free port. */
import type { TestContext } from "node:test";
import { GrpcServer } from "../../../server/grpc/grpc-server.ts";
import type { ServerLog } from "../../../server/log.ts";
import type { GrpcOptions } from "../../../server/options/serve-options.ts";
import type { ServedRepository } from "../../../server/served-repository.ts";
import { type CallOptions, TestClient } from "./grpc-client.ts";

/** Log lines as they were written. */
export class MemoryLog implements ServerLog {
  readonly lines: { level: string; fields: object; text: string }[] = [];

  debug(fields: object, text: string): void {
    this.lines.push({ level: "debug", fields, text });
  }

  info(fields: object, text: string): void {
    this.lines.push({ level: "info", fields, text });
  }

  warn(fields: object, text: string): void {
    this.lines.push({ level: "warn", fields, text });
  }

  error(fields: object, text: string): void {
    this.lines.push({ level: "error", fields, text });
  }

  close(): void {
    this.lines.push({ level: "closed", fields: {}, text: "" });
  }
}

export const GRPC_DEFAULTS: GrpcOptions = {
  host: "127.0.0.1",
  port: 0,
  reusePort: false,
  restrictions: new Map(),
  keepaliveTimeMs: 7_200_000,
  keepaliveTimeoutMs: 20_000,
  maxConnectionAgeMs: 0,
  maxConnectionAgeGraceMs: 0,
};

export interface TestServerOptions {
  readonly grpc?: Partial<GrpcOptions>;
  readonly allowClientSharedMemory?: boolean;
}

/** The server, a client of it and what they share; both end with the test. */
export class TestServer {
  readonly log = new MemoryLog();
  readonly health = { live: true, ready: true };
  readonly server: GrpcServer;
  readonly client: TestClient;

  private constructor(server: GrpcServer, log: MemoryLog, health: { live: boolean; ready: boolean }) {
    this.server = server;
    this.log = log;
    this.health = health;
    this.client = new TestClient(server.port);
  }

  static async start(
    t: TestContext,
    repository: ServedRepository,
    options: TestServerOptions = {},
  ): Promise<TestServer> {
    const log = new MemoryLog();
    const health = { live: true, ready: true };
    const context = {
      id: "triton",
      repository,
      health: { isLive: () => health.live, isReady: () => health.ready },
      allowClientSharedMemory: options.allowClientSharedMemory ?? false,
      log,
    };
    const server = new TestServer(await GrpcServer.start({ ...GRPC_DEFAULTS, ...options.grpc }, context), log, health);
    t.after(() => server.#stop());
    return server;
  }

  /** `[code, text]` of a failing call. */
  async failure(method: string, request: Record<string, unknown> = {}, options: CallOptions = {}) {
    const { code, details } = await this.client.failure(method, request, options);
    return [code, details];
  }

  async #stop(): Promise<void> {
    this.client.close();
    await this.server.drain(0);
  }
}

/** Waits, turn by turn of the event loop, until a condition holds. */
export async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 5_000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 1));
  if (!condition()) throw new Error("the condition did not come true");
}
