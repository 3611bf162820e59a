/** A foreign client: proto-loader's own encoding, none of our codec. */
import {
  type ChannelCredentials,
  type ChannelOptions,
  type Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  makeGenericClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadServices } from "../../../proto/load.ts";

const SERVICES = loadServices();

export type Message = Record<string, unknown>;

/** What a call ended with. */
export interface CallFailure {
  readonly code: number;
  readonly details: string;
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
}

/** An InferRequest with one FP32 input of one row. */
export function fp32Request(model: string, values: readonly number[], more: Message = {}): Message {
  const data = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) data.writeFloatLE(value, i * 4);
  return {
    model_name: model,
    inputs: [{ name: "INPUT0", datatype: "FP32", shape: [1, values.length] }],
    raw_input_contents: [data],
    ...more,
  };
}

export class TestClient {
  readonly #inference: Client;
  readonly #health: Client;

  constructor(port: number, channel: ChannelCredentials = credentials.createInsecure(), options: ChannelOptions = {}) {
    const address = `127.0.0.1:${port}`;
    const own = { "grpc.use_local_subchannel_pool": 1, "grpc.max_receive_message_length": -1, ...options };
    this.#inference = new (makeGenericClientConstructor(SERVICES.inference, "inference"))(address, channel, own);
    this.#health = new (makeGenericClientConstructor(SERVICES.health, "health"))(address, channel, own);
  }

  close(): void {
    this.#inference.close();
    this.#health.close();
  }

  /** Answers the message, rejects with the ServiceError. */
  call(method: string, request: Message = {}, options: CallOptions = {}): Promise<Message> {
    return this.start(method, request, options).answer;
  }

  /** As `call`, with a way to cancel. */
  start(
    method: string,
    request: Message = {},
    options: CallOptions = {},
  ): { answer: Promise<Message>; cancel(): void } {
    const isHealth = method === "Check";
    const definition = (isHealth ? SERVICES.health : SERVICES.inference)[method];
    if (definition === undefined) throw new Error(`no method ${method}`);
    const client = isHealth ? this.#health : this.#inference;
    let cancel = () => undefined as unknown;
    const answer = new Promise<Message>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        request,
        metadataOf(options),
        deadlineOf(options),
        (error: ServiceError | null, value: unknown) => (error === null ? resolve(value as Message) : reject(error)),
      );
      cancel = () => call.cancel();
    });
    answer.catch(() => undefined);
    return { answer, cancel: () => void cancel() };
  }

  /** How a call fails; throws when it does not. */
  async failure(method: string, request: Message = {}, options: CallOptions = {}): Promise<CallFailure> {
    try {
      await this.call(method, request, options);
    } catch (error) {
      const { code, details } = error as ServiceError;
      return { code, details };
    }
    throw new Error(`${method} did not fail`);
  }

  stream(options: CallOptions = {}): TestStream {
    const definition = SERVICES.inference["ModelStreamInfer"];
    if (definition === undefined) throw new Error("no ModelStreamInfer");
    return new TestStream(
      this.#inference.makeBidiStreamRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        metadataOf(options),
        deadlineOf(options),
      ) as ClientDuplexStream<Message, Message>,
    );
  }
}

function deadlineOf({ deadlineMs }: CallOptions): { deadline?: number } {
  return deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
}

/** One ModelStreamInfer call, its answers collected. */
export class TestStream {
  readonly answers: Message[] = [];
  /** Resolves with the status, whatever it is. */
  readonly ended: Promise<CallFailure>;
  readonly #call: ClientDuplexStream<Message, Message>;
  #waiting: { count: number; resolve: () => void } | undefined;

  constructor(call: ClientDuplexStream<Message, Message>) {
    this.#call = call;
    call.on("data", (answer: Message) => {
      this.answers.push(answer);
      if (this.#waiting !== undefined && this.answers.length >= this.#waiting.count) this.#waiting.resolve();
    });
    call.on("error", () => undefined);
    this.ended = new Promise((resolve) => {
      call.on("status", ({ code, details }) => resolve({ code, details }));
    });
  }

  send(request: Message): boolean {
    return this.#call.write(request);
  }

  halfClose(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** Stops or goes on reading answers. */
  setReading(on: boolean): void {
    if (on) this.#call.resume();
    else this.#call.pause();
  }

  async received(count: number): Promise<Message[]> {
    if (this.answers.length < count) {
      await new Promise<void>((resolve) => {
        this.#waiting = { count, resolve };
      });
    }
    return this.answers;
  }
}

function metadataOf({ headers = {} }: CallOptions): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}
