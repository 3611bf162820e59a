/** The gRPC port: its socket, its limits, its end. */
import { createServer, type Server as NetServer, type Socket } from "node:net";
import { logVerbosity, Server, type ServerOptions, setLogVerbosity } from "@grpc/grpc-js";
import { listen } from "../listen.ts";
import type { GrpcOptions } from "../options/serve-options.ts";
import { InferStreams } from "./model-stream-infer.ts";
import { setConnectionWindow, setStreamWindow } from "./receive-windows.ts";
import { ServiceRegistry } from "./service-registry.ts";
import { addServices, type GrpcServerContext, reporter } from "./services.ts";
import { grpcCredentials } from "./tls-credentials.ts";

/** Triton's limit, in both directions. */
const MAX_MESSAGE_BYTES = 2_147_483_647;
/** Calls of one connection; more wait at the client. */
const MAX_CONCURRENT_STREAMS = 1_024;
/** A connection without calls is closed after this: health probes leave thousands behind. */
const CONNECTION_IDLE_MS = 600_000;
/** How long after a drain's grace a socket is cut that never became a gRPC connection. */
const CUT_AFTER_MS = 100;

const NAME = { what: "gRPC", portFlag: "--grpc-port", addressFlag: "--grpc-address" };

/** The parts of a started server. */
interface Parts {
  readonly port: number;
  readonly listener: NetServer;
  readonly sockets: ReadonlySet<Socket>;
  readonly streams: InferStreams;
  /** Closes the connections, at the latest after so many milliseconds. */
  readonly closeConnections: (graceMs: number) => void;
  readonly forceShutdown: () => void;
}

export class GrpcServer {
  /** The port it listens on. */
  readonly port: number;
  readonly #parts: Parts;
  #drained: Promise<void> | undefined;

  private constructor(parts: Parts) {
    this.port = parts.port;
    this.#parts = parts;
  }

  /** Opens the port; rejects with one line for the user when it or the TLS files cannot be used. */
  static async start(options: GrpcOptions, context: GrpcServerContext): Promise<GrpcServer> {
    setLogVerbosity(logVerbosity.NONE);
    const credentials = await grpcCredentials(options.tls);
    const server = new Server(serverOptions(options));
    setStreamWindow(server);
    const streams = new InferStreams(context.repository, reporter(context.log));
    addServices(new ServiceRegistry(server, options.restrictions), context, streams);
    const injector = server.createConnectionInjector(credentials);
    setConnectionWindow(server);
    const sockets = new Set<Socket>();
    const listener = createServer((socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      injector.injectConnection(socket);
    });
    const port = await listen(listener, options, NAME);
    return new GrpcServer({
      port,
      listener,
      sockets,
      streams,
      closeConnections: (graceMs) => injector.drain(graceMs),
      forceShutdown: () => server.forceShutdown(),
    });
  }

  /**
   * Accepts no more connections or requests, lets calls in hand finish, ends streams once their answers are sent, and
   * cuts what is left after `graceMs`. Resolves when every connection is gone. Idempotent.
   */
  drain(graceMs: number): Promise<void> {
    this.#drained ??= this.#drain(graceMs);
    return this.#drained;
  }

  async #drain(graceMs: number): Promise<void> {
    const { listener, sockets, streams, closeConnections, forceShutdown } = this.#parts;
    const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
    streams.drain();
    closeConnections(graceMs);
    const cut = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs + CUT_AFTER_MS);
    await closed;
    clearTimeout(cut);
    forceShutdown();
  }
}

function serverOptions(options: GrpcOptions): ServerOptions {
  const { maxConnectionAgeMs, maxConnectionAgeGraceMs } = options;
  return {
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.enable_channelz": 0,
    "grpc.max_concurrent_streams": MAX_CONCURRENT_STREAMS,
    "grpc.max_connection_idle_ms": CONNECTION_IDLE_MS,
    "grpc.keepalive_time_ms": options.keepaliveTimeMs,
    "grpc.keepalive_timeout_ms": options.keepaliveTimeoutMs,
    ...(maxConnectionAgeMs > 0 ? { "grpc.max_connection_age_ms": maxConnectionAgeMs } : {}),
    ...(maxConnectionAgeGraceMs > 0 ? { "grpc.max_connection_age_grace_ms": maxConnectionAgeGraceMs } : {}),
  };
}
