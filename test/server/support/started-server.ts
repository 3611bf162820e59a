/** The whole server in this process over a repository on disk, with clients; all of it ends with the test. */
import { randomUUID } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InferenceResponse } from "../../../proto/inference.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { type RunningServer, startServer } from "../../../server/main.ts";
import { parseServeOptions } from "../../../server/options/serve-options.ts";
import { InferClient } from "../../support/infer.ts";
import type { Cleanup } from "../../support/temporary-files.ts";
import { TestClient } from "./grpc-client.ts";
import { FREE_PORTS } from "./served-process.ts";

export interface StartedServer {
  readonly server: RunningServer;
  /** A foreign client for every call. */
  readonly client: TestClient;
  infer(model: string, inputs: readonly Tensor[]): Promise<InferenceResponse>;
  metrics(): Promise<string>;
  /** Lines of the log so far. */
  log(): Promise<string>;
}

export async function startedServer(t: Cleanup, repository: string, ...flags: string[]): Promise<StartedServer> {
  const logFile = join(tmpdir(), `hybridserve-${randomUUID()}.log`);
  const argv = [`--model-repository=${repository}`, `--log-file=${logFile}`, ...FREE_PORTS, ...flags];
  const options = parseServeOptions(argv);
  if (options === "help") throw new Error("help was not asked for");
  t.after(() => rm(logFile, { force: true }));
  const server = await startServer(options, { stdout: () => undefined });
  const client = new TestClient(server.ports.grpc ?? 0);
  const inference = new InferClient(server.ports.grpc ?? 0);
  t.after(async () => {
    client.close();
    inference.close();
    await server.stop();
  });
  return {
    server,
    client,
    infer: (model, inputs) => inference.infer(model, inputs),
    metrics: async () => {
      const url = `http://127.0.0.1:${server.ports.metrics}/metrics`;
      return (await fetch(url, { headers: { connection: "close" } })).text();
    },
    log: () => readFile(logFile, "utf8"),
  };
}
