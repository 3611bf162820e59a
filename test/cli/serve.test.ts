/** `hybridserve serve` as a user runs it: signals, exit codes, start-up failures. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fp32Request, TestClient } from "../server/support/grpc-client.ts";
import { addIdentityModel, executeDelay, temporaryFolder } from "../server/support/model-folder.ts";
import { FREE_PORTS, type ProcessOptions, ServedProcess } from "../server/support/served-process.ts";

/** A server over one model whose runs take `delayMs`. */
function serve(t: TestContext, delayMs: number, flags: readonly string[] = [], options: ProcessOptions = {}) {
  const repository = temporaryFolder(t);
  addIdentityModel(repository, "echo", delayMs === 0 ? "" : executeDelay(delayMs));
  return new ServedProcess(t, ["serve", "--model-repository", repository, ...FREE_PORTS, ...flags], options);
}

/** A client whose request is with the model. */
async function requestInHand(t: TestContext, server: ServedProcess) {
  const client = new TestClient(await server.port("GRPCInferenceService"));
  t.after(() => client.close());
  const { answer } = client.start("ModelInfer", fp32Request("echo", [1], { id: "1" }));
  // Calls of one connection are taken in order: when this one is answered, the request before it is with the model.
  await client.call("ServerLive");
  return { client, answer };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal}: the request in hand is answered, exit code 0`, async (t) => {
    const server = serve(t, 400);
    const { answer } = await requestInHand(t, server);
    server.child.kill(signal);
    assert.equal((await answer)["id"], "1");
    assert.deepEqual(await server.ended, { code: 0, signal: null });
    assert.match(server.stdout, new RegExp(`Stopping \\(${signal}\\)`));
  });
}

test("a second signal ends at once; the same one again within a moment does not", async (t) => {
  const server = serve(t, 60_000);
  const { answer } = await requestInHand(t, server);
  server.child.kill("SIGINT");
  server.child.kill("SIGINT");
  await server.printed(/Stopping/);
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.equal(server.child.signalCode, null, "the doubled first signal did not end it");
  server.child.kill("SIGINT");
  assert.deepEqual(await server.ended, { code: null, signal: "SIGKILL" });
  assert.match(server.stderr, /SIGINT again: ending at once/);
  await assert.rejects(answer);
});

test("after --exit-timeout-secs the server ends with a run in hand, and says so", async (t) => {
  const server = serve(t, 60_000, ["--exit-timeout-secs=1"]);
  const { answer } = await requestInHand(t, server);
  server.child.kill("SIGTERM");
  await assert.rejects(answer);
  assert.deepEqual(await server.ended, { code: null, signal: "SIGKILL" });
  assert.match(server.stderr, /still running after --exit-timeout-secs=1/);
});

test("an exception that nobody caught: logged, requests in hand answered, exit code 1", async (t) => {
  const bomb = join(temporaryFolder(t), "bomb.mjs");
  writeFileSync(bomb, 'process.once("SIGUSR2", () => { throw new Error("planted fault"); });\n');
  const server = serve(t, 300, [], { execArgv: ["--import", bomb] });
  const { answer } = await requestInHand(t, server);
  server.child.kill("SIGUSR2");
  assert.equal((await answer)["id"], "1");
  assert.deepEqual(await server.ended, { code: 1, signal: null });
  assert.match(server.stderr, /uncaught exception, stopping: planted fault/);
});

test("what stops the start is one line on standard error, exit code 1, no stack", async (t) => {
  const missing = join(temporaryFolder(t), "missing");
  const server = new ServedProcess(t, ["serve", `--model-repository=${missing}`, "--log-info=false", ...FREE_PORTS]);
  assert.deepEqual(await server.ended, { code: 1, signal: null });
  assert.match(server.stderr, /^error: .*missing.*\n$/);
  const blocked = serve(t, 0, [`--grpc-port=${await serve(t, 0).port("HTTPService")}`, "--log-info=false"]);
  assert.deepEqual(await blocked.ended, { code: 1, signal: null });
  assert.match(blocked.stderr, /^error: cannot open gRPC at .*--grpc-port\n$/);
});

test("a mistake in the flags is exit code 2", async (t) => {
  const server = new ServedProcess(t, ["serve", "--model-repo=x"]);
  assert.deepEqual(await server.ended, { code: 2, signal: null });
  assert.match(server.stderr, /unknown flag --model-repo/);
});

test("what people read goes to standard output, the log to standard error", async (t) => {
  const server = serve(t, 0);
  await server.printed(/Ready in/);
  server.child.kill("SIGTERM");
  await server.ended;
  assert.doesNotMatch(server.stdout, /^\{/m);
  for (const line of server.stderr.trim().split("\n")) assert.equal(typeof JSON.parse(line), "object");
});

test("a server whose output nobody reads any more goes on, and ends with code 0", async (t) => {
  const server = serve(t, 0);
  const client = new TestClient(await server.port("GRPCInferenceService"));
  t.after(() => client.close());
  await server.printed(/Ready in/);
  server.child.stdout?.destroy();
  server.child.stderr?.destroy();
  await client.call("ModelInfer", fp32Request("echo", [1]));
  server.child.kill("SIGTERM");
  assert.deepEqual(await server.ended, { code: 0, signal: null });
});

test("--json: one line for programs instead of the banner", async (t) => {
  const server = serve(t, 0, ["--json"]);
  await server.printed(/"models":/);
  const { ports, models } = JSON.parse(server.stdout);
  assert.deepEqual(models, [{ name: "echo", version: "1", state: "READY", reason: "" }]);
  const client = new TestClient(ports.grpc);
  t.after(() => client.close());
  await client.call("ServerLive");
  server.child.kill("SIGTERM");
  assert.deepEqual(await server.ended, { code: 0, signal: null });
  assert.equal(server.stdout.trim().split("\n").length, 1);
});
