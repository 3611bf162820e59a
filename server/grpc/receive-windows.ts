/**
 * HTTP/2 settings that grpc-js has no option for, set through its private fields: the only file that touches them.
 * With the default receive windows of 64 KiB a 600 KB request needs ten round trips; with these, one or two.
 */
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import { InferenceError } from "../../proto/errors.ts";
import { RECEIVE_WINDOW_BYTES } from "../../proto/receive-window.ts";

/** Bytes that one call may send ahead of our reading. */
export const STREAM_WINDOW_BYTES = RECEIVE_WINDOW_BYTES;
/** Bytes that all calls of one connection may send ahead together. */
export const CONNECTION_WINDOW_BYTES = RECEIVE_WINDOW_BYTES;

/** Fields of grpc-js' Server, version 1.14. */
interface PrivateServer {
  commonServerOptions?: { settings?: object };
  http2Servers?: Map<Http2Server, unknown>;
}

/** Prepares a server before it gets its first port; throws INTERNAL when grpc-js no longer has the field. */
export function setStreamWindow(server: Server): void {
  const options = privateFields(server).commonServerOptions;
  if (options === undefined) throw missing("commonServerOptions");
  options.settings = { ...options.settings, initialWindowSize: STREAM_WINDOW_BYTES };
}

/** Prepares the HTTP/2 servers that a gRPC server has made so far; throws INTERNAL when they cannot be found. */
export function setConnectionWindow(server: Server): void {
  const servers = privateFields(server).http2Servers;
  if (servers === undefined || servers.size === 0) throw missing("http2Servers");
  for (const http2Server of servers.keys()) {
    http2Server.on("session", (session: ServerHttp2Session) => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    http2Server.prependListener("stream", dropHugeTimeout);
  }
}

/** grpc-js computes a deadline beyond 2^31 ms to be in the past: such a call has none instead. */
function dropHugeTimeout(_stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const timeout = headers["grpc-timeout"];
  if (typeof timeout === "string" && isHugeTimeout(timeout)) delete headers["grpc-timeout"];
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000 };

/** Whether a `grpc-timeout` header asks for more milliseconds than 31 bits hold. */
export function isHugeTimeout(header: string): boolean {
  const unitMs = UNIT_MS[header.slice(-1)];
  return unitMs !== undefined && Number(header.slice(0, -1)) * unitMs > 2_147_483_647;
}

function privateFields(server: Server): PrivateServer {
  // The fields are private in the type; both are checked before use.
  return server as unknown as PrivateServer;
}

function missing(field: string): InferenceError {
  const text = `grpc-js has no Server.${field} any more: its HTTP/2 windows cannot be set, see server/grpc/receive-windows.ts`;
  return new InferenceError("INTERNAL", text);
}
