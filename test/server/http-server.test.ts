/** The HTTP port: health, restrictions, everything else. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type HttpRequest, HttpServer, healthRoutes } from "../../server/http-server.ts";
import { parseRestrictions, type Restrictions } from "../../server/options/restriction.ts";

const NAME = { what: "HTTP", portFlag: "--http-port", addressFlag: "--http-address" };
const LOCAL = { host: "127.0.0.1", port: 0, reusePort: false };

async function start(t: TestContext, restrictions: Restrictions = new Map()) {
  const health = { live: true, ready: true };
  const routes = [
    ...healthRoutes({ isLive: () => health.live, isReady: () => health.ready }),
    { path: "/broken", answer: () => Promise.reject(new Error("/secret/path")) },
    {
      path: /^\/echo\/([^/]+)(?:\/(\d+))?$/,
      methods: ["GET", "POST"] as const,
      answer: (request: HttpRequest) => ({ status: 200, contentType: "text/plain", body: JSON.stringify(request) }),
    },
  ];
  const reported: unknown[] = [];
  const server = await HttpServer.start(LOCAL, NAME, routes, restrictions, (error) => reported.push(error));
  t.after(() => server.close());
  const get = async (path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
    return [response.status, await response.text()];
  };
  return { health, server, get, reported };
}

test("health answers 200 or 400 without a body", async (t) => {
  const { health, get } = await start(t);
  assert.deepEqual(await get("/v2/health/live"), [200, ""]);
  assert.deepEqual(await get("/v2/health/ready?x=1"), [200, ""]);
  assert.deepEqual(await get("/v2/health/ready", { method: "HEAD" }), [200, ""]);
  health.ready = false;
  assert.deepEqual(await get("/v2/health/live"), [200, ""]);
  assert.deepEqual(await get("/v2/health/ready"), [400, ""]);
  health.live = false;
  assert.deepEqual(await get("/v2/health/live"), [400, ""]);
});

test("other paths and methods are refused, a fault tells nothing", async (t) => {
  const { get, reported } = await start(t);
  assert.deepEqual(await get("/v2/models/a/infer", { method: "POST", body: "{}" }), [404, '{"error":"Not Found"}']);
  assert.deepEqual(await get("/v2/health/live/"), [404, '{"error":"Not Found"}']);
  assert.deepEqual(await get("/v2/health/live", { method: "POST" }), [405, '{"error":"Method Not Allowed"}']);
  const [status, body] = await get("/broken");
  assert.equal(status, 500);
  assert.doesNotMatch(String(body), /secret/);
  assert.equal(reported.length, 1);
});

test("a restricted API needs its header", async (t) => {
  const { get } = await start(t, parseRestrictions("http-restricted-api", ["health:Admin-Key=v"]));
  const refused = [403, `{"error":"This API is restricted, expecting header 'Admin-Key'"}`];
  assert.deepEqual(await get("/v2/health/live"), refused);
  assert.deepEqual(await get("/v2/health/live", { headers: { "admin-key": "w" } }), refused);
  assert.deepEqual(await get("/v2/health/live", { headers: { "admin-key": "v" } }), [200, ""]);
});

test("a port in use, an address of somebody else: one line that says what to do", async (t) => {
  const { server } = await start(t);
  const again = { ...LOCAL, port: server.port };
  await assert.rejects(
    HttpServer.start(again, NAME, [], new Map(), () => undefined),
    {
      message: `cannot open HTTP at 127.0.0.1:${server.port}: another process uses this port; stop it or choose another with --http-port`,
    },
  );
  const foreign = { ...LOCAL, host: "192.0.2.1" };
  await assert.rejects(
    HttpServer.start(foreign, NAME, [], new Map(), () => undefined),
    /--http-address/,
  );
});

test("a pattern gives its groups, POST its body, within bounds", async (t) => {
  const { get } = await start(t);
  assert.deepEqual(await get("/echo/a%20b"), [200, '{"method":"GET","groups":["a b",""],"body":""}']);
  const posted = await get("/echo/a/7", { method: "POST", body: "hi" });
  assert.deepEqual(posted, [200, '{"method":"POST","groups":["a","7"],"body":"hi"}']);
  assert.equal((await get("/echo/%zz"))[0], 404);
  assert.equal((await get("/echo/a", { method: "PUT" }))[0], 405);
  const tooLong = await get("/echo/a", { method: "POST", body: "x".repeat(1 << 17) });
  assert.deepEqual(tooLong, [413, '{"error":"the body is longer than 65536 bytes"}']);
});
