/** The HTTP port: health for probes and balancers; a Prometheus port is one more of these. */
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

/** One path that answers GET. */
export interface HttpRoute {
  readonly path: string;
  /** The class under which `--http-restricted-api` finds it; none: never restricted. */
  readonly protocol?: Protocol;
  answer(): HttpAnswer | Promise<HttpAnswer>;
}

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
  const path = (request.url ?? "").split("?", 1)[0];
  const route = routes.find((candidate) => candidate.path === path);
  if (route === undefined) return failure(404, "Not Found");
  if (request.method !== "GET" && request.method !== "HEAD") return failure(405, "Method Not Allowed");
  const required = route.protocol === undefined ? undefined : restrictions.get(route.protocol);
  if (required !== undefined) {
    const given = request.headers[required.key.toLowerCase()];
    if (typeof given !== "string" || !isEqualSecret(given, required.value)) {
      return failure(403, `This API is restricted, expecting header '${required.key}'`);
    }
  }
  return route.answer();
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

function failure(status: number, text: string): HttpAnswer {
  return { status, contentType: "application/json", body: JSON.stringify({ error: text }) };
}
