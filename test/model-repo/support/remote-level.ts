/** A server of ours as the remote, and `kserve` models that point at it. */
import { once } from "node:events";
import { createServer } from "node:net";
import type { TestContext } from "node:test";
import type { LoadContext } from "../../../model-repo/backends/backend.ts";
import type { SharedBreakers } from "../../../model-repo/backends/breaker-registry.ts";
import { kserveBackend, RemoteModel } from "../../../model-repo/backends/kserve.ts";
import type { ModelConfig } from "../../../model-repo/config/model-config.ts";
import type { InferenceRequest } from "../../../proto/inference.ts";
import type { Cancellation } from "../../../scheduler/cancellation.ts";
import { type Clock, VirtualClock } from "../../../scheduler/clock.ts";
import type { ModelResponse } from "../../../scheduler/model.ts";
import { FakeModel, FakeRepository } from "../../server/support/fake-repository.ts";
import { MemoryLog, TestServer, type TestServerOptions } from "../../server/support/test-server.ts";

/** INPUT0 comes back as OUTPUT0, of any length. */
export class EchoModel extends FakeModel {
  override async infer(request: InferenceRequest, cancellation?: Cancellation): Promise<ModelResponse> {
    const response = await super.infer(request, cancellation);
    return { ...response, outputs: response.outputs.map((output) => ({ ...output, name: "OUTPUT0" })) };
  }
}

export interface Remote {
  readonly server: TestServer;
  readonly model: EchoModel;
  readonly target: string;
}

/** Serves the model "giant" until the test ends. */
export async function startRemote(t: TestContext, options: TestServerOptions = {}): Promise<Remote> {
  const repository = new FakeRepository();
  const model = new EchoModel("giant");
  repository.models.set("giant", model);
  const server = await TestServer.start(t, repository, options);
  return { server, model, target: `127.0.0.1:${server.server.port}` };
}

/** A port where nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

export interface LevelOptions {
  readonly parameters?: Readonly<Record<string, string>>;
  readonly config?: Partial<ModelConfig>;
  readonly directory?: string;
  /** Shared with other models; absent: the model is alone. */
  readonly breakers?: SharedBreakers;
}

export interface Level<Time extends Clock = VirtualClock> {
  readonly model: RemoteModel;
  readonly clock: Time;
  readonly log: MemoryLog;
}

/** The model "m", which is "giant" on the targets; closed with the test. */
export function loadLevel(t: TestContext, target: string, options: LevelOptions = {}): Promise<Level> {
  return loadLevelAt(t, target, new VirtualClock(), options);
}

/** As `loadLevel`, by the given clock. */
export async function loadLevelAt<Time extends Clock>(
  t: TestContext,
  target: string,
  clock: Time,
  { parameters = {}, config = {}, directory = "", breakers }: LevelOptions = {},
): Promise<Level<Time>> {
  const log = new MemoryLog();
  const all: Record<string, string> = { target, model: "giant", ...parameters };
  const resolvedConfig = {
    name: "m",
    max_batch_size: 8,
    input: [{ name: "INPUT0", data_type: "TYPE_FP32", dims: [-1], optional: false }],
    output: [{ name: "OUTPUT0", data_type: "TYPE_FP32", dims: [-1] }],
    instance_group: [{ name: "m", count: 1 }],
    parameters: Object.fromEntries(Object.entries(all).map(([key, value]) => [key, { string_value: value }])),
    ...config,
  };
  // Only the fields that the backend reads.
  const context = {
    resolved: { config: resolvedConfig },
    version: "1",
    versionDirectory: `${directory}/1`,
    clock,
    log,
    maxQueuedRequests: 0,
    breakers,
  } as unknown as LoadContext;
  const model = await kserveBackend.load(context);
  if (!(model instanceof RemoteModel)) throw new Error("not a remote model");
  t.after(() => model.close());
  return { model, clock, log };
}
