/** The HTTP port: health for probes and balancers, run-time switches; a Prometheus port is one more of these. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isEqualSecret } from "./grpc/access.ts";
import { type EndpointName, listen } from "./listen.ts";
import type { Protocol, Restrictions } from "./options/restriction.ts";
import type { Endpoint } from "./options/serve-options.ts";
import type { ServerHealth } from "./served-repository.ts";

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** A request as a route sees it. */
export interface HttpRequest {
  readonly method: "GET" | "POST";
  /** Groups of the route's pattern, percent-decoded; "" for one that did not take part. */
  readonly groups: readonly string[];
  /** "" for GET. */
  readonly body: string;
}

/** One path, or a pattern of whole paths. */
export interface HttpRoute {
  readonly path: string | RegExp;
  /** HEAD comes with GET. */
  readonly methods?: readonly HttpRequest["method"][];
  /** The class under which `--http-restricted-api` finds it; none: never restricted. */
  readonly protocol?: Protocol;
  answer(request: HttpRequest): HttpAnswer | Promise<HttpAnswer>;
}

/** No route takes more than a few names. */
const MAX_BODY_BYTES = 64 * 1024;

/** `/v2/health/live` and `/v2/health/ready`: 200 or 400 without a body, as Triton. */
export function healthRoutes(health: ServerHealth): HttpRoute[] {
  return [
    { path: "/v2/health/live", protocol: "health", answer: () => empty(health.isLive() ? 200 : 400) },
    { path: "/v2/health/ready", protocol: "health", answer: () => empty(health.isReady() ? 200 : 400) },
  ];
}

export class HttpServer {
  readonly port: number;
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** Opens the port; rejects with one line for the user when it cannot be opened. */
  static async start(
    endpoint: Endpoint,
    name: EndpointName,
    routes: readonly HttpRoute[],
    restrictions: Restrictions,
    report: (error: unknown) => void,
  ): Promise<HttpServer> {
    const server = createServer((request, response) => {
      void respond(request, response, routes, restrictions, report);
    });
    return new HttpServer(server, await listen(server, endpoint, name));
  }

  /** Accepts no more connections, ends idle ones and waits for the answers in hand. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
      setTimeout(() => this.#server.closeAllConnections(), CLOSE_GRACE_MS).unref();
    });
  }
}

/** Health and metrics answer within milliseconds: who still reads then is not reading. */
const CLOSE_GRACE_MS = 1_000;

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  routes: readonly HttpRoute[],
  restrictions: Restrictions,
  report: (error: unknown) => void,
): Promise<void> {
  try {
    send(request, response, await answerTo(request, routes, restrictions));
  } catch (error) {
    report(error);
    send(request, response, failure(500, "unexpected error in the server; its log has the details"));
  }
}

async function answerTo(
  request: IncomingMessage,
  routes: readonly HttpRoute[],
  restrictions: Restrictions,
): Promise<HttpAnswer> {
  const path = (request.url ?? "").split("?", 1)[0] ?? "";
  const found = findRoute(routes, path);
  if (found === undefined) return failure(404, "Not Found");
  const { route, groups } = found;
  const asked = request.method === "HEAD" ? "GET" : request.method;
  const method = (route.methods ?? ["GET"]).find((candidate) => candidate === asked);
  if (method === undefined) return failure(405, "Method Not Allowed");
  const required = route.protocol === undefined ? undefined : restrictions.get(route.protocol);
  if (required !== undefined) {
    const given = request.headers[required.key.toLowerCase()];
    if (typeof given !== "string" || !isEqualSecret(given, required.value)) {
      return failure(403, `This API is restricted, expecting header '${required.key}'`);
    }
  }
  const body = method === "POST" ? await readBody(request) : "";
  if (body === undefined) return failure(413, `the body is longer than ${MAX_BODY_BYTES} bytes`);
  return route.answer({ method, groups, body });
}

function findRoute(
  routes: readonly HttpRoute[],
  path: string,
): { readonly route: HttpRoute; readonly groups: readonly string[] } | undefined {
  for (const route of routes) {
    if (route.path === path) return { route, groups: [] };
    const match = typeof route.path === "string" ? null : route.path.exec(path);
    if (match === null || match[0] !== path) continue;
    const groups = match.slice(1).map((group: string | undefined) => decoded(group ?? ""));
    if (groups.every((group) => group !== undefined)) return { route, groups };
  }
  return undefined;
}

/** undefined where the percent signs are broken. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}

/** undefined where it is too long; what is left of it is not read. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // A destroyed request would take the connection with it, and the refusal.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError("a request without encoding gives bytes");
    bytes += chunk.byteLength;
    if (bytes > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function send(request: IncomingMessage, response: ServerResponse, answer: HttpAnswer): void {
  response.writeHead(answer.status, {
    "content-type": answer.contentType,
    "content-length": Buffer.byteLength(answer.body),
  });
  response.end(request.method === "HEAD" ? undefined : answer.body);
}

function empty(status: number): HttpAnswer {
  return { status, contentType: "application/json", body: "" };
}

/** A refusal in the form of KServe v2. */
export function failure(status: number, text: string): HttpAnswer {
  return json(status, { error: text });
}

export function json(status: number, value: unknown): HttpAnswer {
  return { status, contentType: "application/json", body: JSON.stringify(value) };
}
