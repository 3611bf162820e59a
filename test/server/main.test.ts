/** The whole server over a real repository: start, partial failures, health while stopping. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { type RunningServer, startServer } from "../../server/main.ts";
import { parseServeOptions } from "../../server/options/serve-options.ts";
import { fp32Request, TestClient } from "./support/grpc-client.ts";
import { addBrokenModel, addIdentityModel, executeDelay, temporaryFolder } from "./support/model-folder.ts";
import { FREE_PORTS } from "./support/served-process.ts";

interface Started {
  readonly server: RunningServer;
  readonly client: TestClient;
  readonly printed: string;
  readonly log: string;
  get(path: string, port?: "http" | "metrics"): Promise<[number, string]>;
}

async function start(t: TestContext, repository: string, ...flags: string[]): Promise<Started> {
  const log = join(temporaryFolder(t), "log");
  const options = parseServeOptions([`--model-repository=${repository}`, `--log-file=${log}`, ...FREE_PORTS, ...flags]);
  if (options === "help") throw new Error("help was not asked for");
  let printed = "";
  const server = await startServer(options, {
    stdout: (text) => {
      printed += text;
    },
  });
  const client = new TestClient(server.ports.grpc ?? 0);
  t.after(async () => {
    client.close();
    await server.stop();
  });
  const get = async (path: string, port: "http" | "metrics" = "http"): Promise<[number, string]> => {
    const response = await fetch(`http://127.0.0.1:${server.ports[port]}${path}`, { headers: { connection: "close" } });
    return [response.status, await response.text()];
  };
  return { server, client, printed, log, get };
}

test("an identity model answers; table, ports, statistics and metrics tell of it", async (t) => {
  const repository = temporaryFolder(t);
  addIdentityModel(repository, "echo");
  const { client, printed, server, get } = await start(t, repository);
  assert.match(printed, /^\+-+\+.*\n\| Model +\| Version \| Status \|\n/);
  assert.match(printed, /\| echo +\| 1 +\| READY +\|/);
  assert.ok(printed.includes(`Started GRPCInferenceService at 127.0.0.1:${server.ports.grpc}\n`));
  assert.match(printed, /Ready in \d+\.\d s: 1 model version\n$/);
  const answer = await client.call("ModelInfer", fp32Request("echo", [1, 2, 3], { id: "x" }));
  assert.equal(answer["id"], "x");
  assert.equal((answer["raw_output_contents"] as Buffer[])[0]?.readFloatLE(8), 3);
  const wrong = await client.failure(
    "ModelInfer",
    fp32Request("echo", [1], { id: "y", raw_input_contents: [Buffer.alloc(8)] }),
  );
  assert.deepEqual(wrong, {
    code: status.INVALID_ARGUMENT,
    details: "[request id: y] input byte size mismatch for input 'INPUT0' for model 'echo'. Expected 4, got 8",
  });
  assert.deepEqual(await client.failure("ModelInfer", fp32Request("nobody", [1])), {
    code: status.NOT_FOUND,
    details: "Request for unknown model: 'nobody' is not found",
  });
  const { model_stats } = (await client.call("ModelStatistics", { name: "echo" })) as {
    model_stats: { inference_count: string }[];
  };
  assert.equal(model_stats[0]?.inference_count, "1");
  const [code, metrics] = await get("/metrics", "metrics");
  assert.equal(code, 200);
  assert.match(metrics, /^nv_inference_request_success\{model="echo",version="1"\} 1$/m);
  assert.match(metrics, /^nv_inference_request_failure\{model="echo",version="1",reason="OTHER"\} 1$/m);
});

test("a model that cannot load stops the start, with its reason and the way out", async (t) => {
  const repository = temporaryFolder(t);
  addIdentityModel(repository, "good");
  addBrokenModel(repository, "bad");
  await assert.rejects(start(t, repository), (error: Error) => {
    assert.match(error.message, /^creating server: Internal - failed to load all models \(bad: .*nosuchfield.*\)/);
    assert.match(error.message, /--exit-on-error=false/);
    return true;
  });
});

test("with --exit-on-error=false the others are served; readiness is strict or not", async (t) => {
  const repository = temporaryFolder(t);
  addIdentityModel(repository, "good");
  addBrokenModel(repository, "bad");
  const strict = await start(t, repository, "--exit-on-error=false");
  assert.match(strict.printed, /\| bad +\| - +\| UNAVAILABLE: [^+]*nosuchfield/);
  await strict.client.call("ModelInfer", fp32Request("good", [1]));
  assert.deepEqual(await strict.get("/v2/health/live"), [200, ""]);
  assert.deepEqual(await strict.get("/v2/health/ready"), [400, ""]);
  const lenient = await start(t, repository, "--exit-on-error=false", "--strict-readiness=false");
  assert.deepEqual(await lenient.get("/v2/health/ready"), [200, ""]);
  assert.deepEqual(await lenient.client.call("ServerReady"), { ready: true });
});

test("a missing repository stops the start, or leaves a server that is neither live nor ready", async (t) => {
  const missing = join(temporaryFolder(t), "missing");
  await assert.rejects(start(t, missing), (error: Error) => {
    assert.match(error.message, /missing/);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
  const { client } = await start(t, missing, "--exit-on-error=false");
  assert.deepEqual(await client.call("ServerLive"), { live: false });
  assert.deepEqual(await client.call("ServerReady"), { ready: false });
  assert.equal((await client.call("ServerMetadata"))["name"], "triton");
});

test("a port in use stops the start in one line and leaves nothing open", async (t) => {
  const repository = temporaryFolder(t);
  addIdentityModel(repository, "echo");
  const blocker = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => blocker.once("listening", resolve));
  t.after(() => blocker.close());
  const address = blocker.address();
  const port = typeof address === "object" ? address?.port : 0;
  await assert.rejects(start(t, repository, `--metrics-port=${port}`), {
    message: `cannot open metrics at 127.0.0.1:${port}: another process uses this port; stop it or choose another with --metrics-port`,
  });
});

test("services can be switched off", async (t) => {
  const repository = temporaryFolder(t);
  addIdentityModel(repository, "echo");
  const { server } = await start(t, repository, "--allow-http=false", "--allow-metrics=false");
  assert.deepEqual([server.ports.http, server.ports.metrics], [undefined, undefined]);
});

test("a stopping server is live and not ready until the requests in hand are answered", async (t) => {
  const repository = temporaryFolder(t);
  addIdentityModel(repository, "slow", executeDelay(300));
  const { server, client, get } = await start(t, repository);
  assert.deepEqual(await get("/v2/health/ready"), [200, ""]);
  const answer = client.call("ModelInfer", fp32Request("slow", [1], { id: "in hand" }));
  await client.call("ServerLive");
  const stopped = server.stop();
  assert.deepEqual(await get("/v2/health/ready"), [400, ""]);
  assert.deepEqual(await get("/v2/health/live"), [200, ""]);
  assert.equal((await answer)["id"], "in hand");
  await stopped;
  await assert.rejects(get("/v2/health/live"));
});

test("log and trace files cannot be set over the network", async (t) => {
  const repository = temporaryFolder(t);
  addIdentityModel(repository, "echo");
  const { client } = await start(t, repository);
  const file = join(repository, "forged.log");
  const log = await client.failure("LogSettings", { settings: { log_file: { string_param: file } } });
  const trace = await client.failure("TraceSetting", { settings: { trace_file: { value: [file] } } });
  assert.equal(log.details, "log file location can not be updated through network protocol");
  assert.equal(trace.details, "trace file location can not be updated through network protocol");
  assert.equal(existsSync(file), false);
});

test("accepted flags without effect are one warning line each in the log", async (t) => {
  const repository = temporaryFolder(t);
  addIdentityModel(repository, "echo");
  const { log } = await start(t, repository, "--backend-directory=/opt/tritonserver/backends", "--trace-rate=5");
  const warnings = readFileSync(log, "utf8")
    .split("\n")
    .filter((line) => line.includes('"warn"'));
  assert.equal(warnings.length, 2);
});

test("load and unload in explicit mode, in Triton's words otherwise", async (t) => {
  const repository = temporaryFolder(t);
  addIdentityModel(repository, "echo");
  const fixed = await start(t, repository);
  assert.deepEqual(await fixed.client.failure("RepositoryModelLoad", { model_name: "echo" }), {
    code: status.UNAVAILABLE,
    details: "explicit model load / unload is not allowed if polling is enabled",
  });
  const { client } = await start(t, repository, "--model-control-mode=explicit");
  assert.deepEqual(await client.call("ModelReady", { name: "echo" }), { ready: false });
  await client.call("RepositoryModelLoad", { model_name: "echo" });
  await client.call("ModelInfer", fp32Request("echo", [1]));
  await client.call("RepositoryModelUnload", { model_name: "echo" });
  const { code } = await client.failure("ModelInfer", fp32Request("echo", [1]));
  assert.ok(code === status.UNAVAILABLE || code === status.NOT_FOUND);
});

test("large answers are right, though their requests' memory is given back at once", async (t) => {
  const repository = temporaryFolder(t);
  addIdentityModel(repository, "echo");
  const { client } = await start(t, repository);
  for (let round = 0; round < 3; round++) {
    const values = Array.from({ length: 50_000 }, (_, i) => i + round);
    const answer = await client.call("ModelInfer", fp32Request("echo", values));
    const [bytes] = answer["raw_output_contents"] as [Buffer];
    assert.deepEqual(Buffer.compare(bytes, Buffer.from(Float32Array.from(values).buffer)), 0);
  }
});
