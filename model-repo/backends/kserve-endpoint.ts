/** Calls to one remote target over its own connections: bytes in, bytes out, no decoder of proto-loader on the way. */
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  Metadata,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { InferenceError } from "../../proto/errors.ts";
import { loadServices } from "../../proto/load.ts";
import { RECEIVE_WINDOW_BYTES } from "../../proto/receive-window.ts";
import type { Cancellation } from "../../scheduler/cancellation.ts";
import { RemoteCallError } from "./kserve-error.ts";
import type { RemoteConfig, RemoteMetadata } from "./kserve-metadata.ts";
import type { KserveSettings } from "./kserve-settings.ts";

/** gRPC's own limit; what is larger cannot be framed. */
const MAX_MESSAGE_BYTES = 2_147_483_647;

/** The definitions of one RPC with plain objects on both sides. */
type Rpc = MethodDefinition<object, object>;

/** What the calls need of the protocol; loaded once for all endpoints of a model. */
export interface KserveRpcs {
  readonly serverReady: Rpc;
  readonly modelReady: Rpc;
  readonly modelMetadata: Rpc;
  readonly modelConfig: Rpc;
  readonly modelInferPath: string;
}

/** Reads the .proto files: tens of milliseconds. */
export function loadKserveRpcs(): KserveRpcs {
  const { inference } = loadServices();
  const rpc = (name: string): Rpc => {
    const definition = inference[name];
    if (definition === undefined) {
      throw new InferenceError("INTERNAL", `the .proto files define no ${name}: reinstall hybridserve`);
    }
    return definition;
  };
  return {
    serverReady: rpc("ServerReady"),
    modelReady: rpc("ModelReady"),
    modelMetadata: rpc("ModelMetadata"),
    modelConfig: rpc("ModelConfig"),
    modelInferPath: rpc("ModelInfer").path,
  };
}

export class KserveEndpoint {
  readonly target: string;
  readonly #settings: KserveSettings;
  readonly #rpcs: KserveRpcs;
  readonly #clients: readonly Client[];
  readonly #metadata = new Metadata();
  #next = 0;

  constructor(target: string, settings: KserveSettings, credentials: ChannelCredentials, rpcs: KserveRpcs) {
    this.target = target;
    this.#settings = settings;
    this.#rpcs = rpcs;
    const options = channelOptions(settings);
    this.#clients = Array.from({ length: settings.channels }, () => new Client(target, credentials, options));
    for (const [name, value] of settings.headers) this.#metadata.set(name, value);
  }

  /** ModelInfer; rejects with a RemoteCallError. The answer is the message as it arrived. */
  infer(message: Buffer, timeoutMs: number, cancellation: Cancellation | undefined): Promise<Buffer> {
    const { modelInferPath } = this.#rpcs;
    return this.#call(modelInferPath, sameBytes, sameBytes, message, timeoutMs, cancellation);
  }

  /** Rejects with the reason where the server would not serve now; FAILED_PRECONDITION where it says so itself. */
  async checkServerReady(timeoutMs: number): Promise<void> {
    const server = await this.#unary<{ ready: boolean }>(this.#rpcs.serverReady, {}, timeoutMs);
    if (!server.ready) throw new RemoteCallError(FAILED_PRECONDITION, "the server is not ready");
  }

  /** Rejects with the reason where the model would not serve now. */
  async checkModelReady(timeoutMs: number): Promise<void> {
    const { model, version } = this.#settings;
    const answer = await this.#unary<{ ready: boolean }>(this.#rpcs.modelReady, { name: model, version }, timeoutMs);
    if (!answer.ready) throw new RemoteCallError(FAILED_PRECONDITION, `its model '${model}' is not ready`);
  }

  modelMetadata(timeoutMs: number): Promise<RemoteMetadata> {
    const { model: name, version } = this.#settings;
    return this.#unary<RemoteMetadata>(this.#rpcs.modelMetadata, { name, version }, timeoutMs);
  }

  /** Its `config` is missing where the server sends none; of it only what is read here is named. */
  modelConfig(timeoutMs: number): Promise<{ readonly config?: RemoteConfig }> {
    const { model: name, version } = this.#settings;
    return this.#unary<{ config?: RemoteConfig }>(this.#rpcs.modelConfig, { name, version }, timeoutMs);
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  async #unary<Answer>(rpc: Rpc, request: object, timeoutMs: number): Promise<Answer> {
    const { path, requestSerialize, responseDeserialize } = rpc;
    const answer = await this.#call(path, requestSerialize, responseDeserialize, request, timeoutMs, undefined);
    return answer as Answer; // the .proto file says so
  }

  #call<Request, Answer>(
    path: string,
    serialize: (request: Request) => Buffer,
    deserialize: (bytes: Buffer) => Answer,
    request: Request,
    timeoutMs: number,
    cancellation: Cancellation | undefined,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + timeoutMs;
      const done = (error: ServiceError | null, answer?: Answer) => {
        if (error !== null) reject(new RemoteCallError(error.code, error.details));
        else if (answer === undefined) reject(new RemoteCallError(INTERNAL, "an answer without a message"));
        else resolve(answer);
      };
      const client = this.#nextClient();
      const call = client.makeUnaryRequest(path, serialize, deserialize, request, this.#metadata, { deadline }, done);
      cancellation?.onCancel(() => call.cancel());
    });
  }

  #nextClient(): Client {
    const client = this.#clients[this.#next];
    this.#next = (this.#next + 1) % this.#clients.length;
    if (client === undefined) throw new InferenceError("INTERNAL", `no connection to '${this.target}'`);
    return client;
  }
}

const FAILED_PRECONDITION = 9;
const INTERNAL = 13;

function sameBytes(bytes: Buffer): Buffer {
  return bytes;
}

function channelOptions({ authority }: KserveSettings): ChannelOptions {
  return {
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc-node.flow_control_window": RECEIVE_WINDOW_BYTES,
    // Connections of its own: a pool of several channels would else share one, and closing frees them.
    "grpc.use_local_subchannel_pool": 1,
    // Repeated calls are work that nobody asked for; a level that fails is the caller's decision.
    "grpc.enable_retries": 0,
    // A remote that comes back is met by the first probe.
    "grpc.max_reconnect_backoff_ms": 1_000,
    "grpc.enable_channelz": 0,
    ...(authority === undefined
      ? {}
      : { "grpc.default_authority": authority, "grpc.ssl_target_name_override": authority }),
  };
}
