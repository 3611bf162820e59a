/** Remotes that are not ours, TLS, and a model that comes from a folder. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { type Metadata, Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";
import { readCredentials } from "../../../model-repo/backends/kserve-credentials.ts";
import { ModelRunner } from "../../../model-repo/model-runner.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { loadServices } from "../../../proto/load.ts";
import { Cancellation } from "../../../scheduler/cancellation.ts";
import { MemoryLog } from "../../server/support/test-server.ts";
import { skipWithout } from "../../support/missing-tool.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";
import { floats, fp32, request } from "../../support/tensors.ts";
import { loadLevel, startRemote } from "../support/remote-level.ts";

interface ForeignCall {
  readonly headers: Metadata;
  /** What was left of the caller's time on arrival. */
  readonly timeoutMs: number;
}

/** A server made with proto-loader alone; answers with typed contents, as KServe's Python servers do. */
async function startForeign(t: TestContext): Promise<{ target: string; calls: ForeignCall[] }> {
  const calls: ForeignCall[] = [];
  const tensor = (name: string) => ({ name, datatype: "FP32", shape: ["-1", "-1"] });
  const ready = (_call: unknown, callback: sendUnaryData<object>) => callback(null, { ready: true });
  const server = new Server();
  server.addService(loadServices().inference, {
    ServerReady: ready,
    ModelReady: ready,
    ModelMetadata: (_call: unknown, callback: sendUnaryData<object>) =>
      callback(null, { name: "giant", inputs: [tensor("INPUT0"), tensor("hint")], outputs: [tensor("OUTPUT0")] }),
    ModelInfer: (call: ServerUnaryCall<unknown, object>, callback: sendUnaryData<object>) => {
      calls.push({ headers: call.metadata, timeoutMs: Number(call.getDeadline()) - Date.now() });
      const contents = { fp32_contents: [1.5, 2.5] };
      callback(null, {
        model_name: "giant",
        outputs: [{ name: "OUTPUT0", datatype: "FP32", shape: ["1", "2"], contents }],
      });
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  t.after(() => server.forceShutdown());
  return { target: `127.0.0.1:${port}`, calls };
}

const ASK = request({ inputs: [fp32("INPUT0", [1, 2], [1, 2])] });

it("a server that answers with typed contents, over several connections, with headers", async (t) => {
  const { target, calls } = await startForeign(t);
  const parameters = { "header.authorization": "Bearer x", channels: "3", colour: "blue" };
  const { model, log } = await loadLevel(t, target, { parameters });
  for (let i = 0; i < 3; i++) assert.deepEqual(floats((await model.infer(ASK)).outputs[0]), [1.5, 2.5]);
  assert.deepEqual(
    calls.map(({ headers }) => headers.get("authorization")),
    [["Bearer x"], ["Bearer x"], ["Bearer x"]],
  );
  const texts = log.lines.map(({ text }) => text).join("\n");
  assert.match(texts, /has no parameter 'colour'/);
  assert.match(texts, /the remote has an input 'hint' that config.pbtxt does not list/);
});

it("the time that is left goes along, or the level's own limit where that is shorter", async (t) => {
  const { target, calls } = await startForeign(t);
  const { model, clock } = await loadLevel(t, target, { parameters: { timeout_ms: "40000" } });
  await clock.advance(5_000);
  await model.infer(ASK, new Cancellation(25_000));
  await model.infer(ASK, new Cancellation(90_000));
  await model.infer(ASK);
  const [own, longer, none] = calls.map(({ timeoutMs }) => timeoutMs);
  for (const [timeoutMs, expectedMs] of [
    [own, 20_000],
    [longer, 40_000],
    [none, 40_000],
  ] as const) {
    assert.ok(timeoutMs !== undefined && timeoutMs > expectedMs - 5_000 && timeoutMs <= expectedMs + 5, `${timeoutMs}`);
  }
});

function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe("TLS", { skip: skipWithout(hasOpenssl() ? undefined : "openssl is not installed") }, () => {
  it("is used with the files beside config.pbtxt; a server of another authority is refused", async (t) => {
    const folder = await temporaryFiles(t, { "san.txt": "subjectAltName=DNS:giant.example\n" });
    const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    for (const ca of ["ca", "other"]) {
      openssl("req", "-x509", ...key, "-keyout", `${ca}.key`, "-out", `${ca}.pem`, "-days", "2", "-subj", `/CN=${ca}`);
    }
    for (const name of ["server", "client"]) {
      openssl("req", "-new", ...key, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
      const signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san.txt"];
      openssl("x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, ...signer);
    }
    const file = (name: string) => join(folder, name);
    const tls = { certificate: file("server.pem"), key: file("server.key"), clientRoots: file("ca.pem") };
    const remote = await startRemote(t, { grpc: { tls } });
    const parameters = {
      tls: "true",
      tls_root_certificates: "ca.pem",
      tls_certificate: "client.pem",
      tls_key: "client.key",
      authority: "giant.example",
    };
    const { model } = await loadLevel(t, remote.target, { parameters, directory: folder });
    assert.deepEqual(floats((await model.infer(ASK)).outputs[0]), [1, 2]);
    for (const [changed, code, text] of [
      [{ tls_root_certificates: "other.pem" }, "UNAVAILABLE", /Start that server/],
      [{ authority: "dwarf.example" }, "UNAVAILABLE", /Start that server/],
      [{ tls_key: "none.key" }, "INVALID_ARGUMENT", /parameter 'tls_key': cannot read 'none.key'/],
      [{ tls_key: "san.txt" }, "INVALID_ARGUMENT", /no PEM files that belong together/],
    ] as const) {
      const options = { parameters: { ...parameters, ...changed }, directory: folder };
      const error = await loadLevel(t, remote.target, options).then(
        () => assert.fail("it loaded"),
        InferenceError.from,
      );
      assert.equal(error.code, code);
      assert.match(error.message, text);
    }

    // Who shares a breaker: the same files and server name, whatever the files are called.
    const connection = async (roots: string, authority?: string) => {
      const settings = { tls: { rootCertificates: roots, certificate: undefined, key: undefined }, authority };
      return (await readCredentials("m", settings, folder)).connection;
    };
    await copyFile(file("ca.pem"), file("same.pem"));
    assert.equal(await connection("same.pem"), await connection(file("ca.pem")));
    assert.notEqual(await connection("other.pem"), await connection("ca.pem"));
    assert.notEqual(await connection("ca.pem", "giant.example"), await connection("ca.pem"));
    const { connection: plain } = await readCredentials("m", { tls: undefined, authority: undefined }, folder);
    assert.notEqual(plain, await connection("ca.pem"));
  });
});

describe("a model repository", () => {
  const tensor = (field: string, name: string, dims: string) =>
    `${field} { name: "${name}" data_type: TYPE_FP32 dims: [ ${dims} ] }`;
  const configOf = (backend: string, dims: string, parameters: Readonly<Record<string, string>> = {}) =>
    [
      `backend: "${backend}" max_batch_size: 4`,
      ...(backend === "kserve" ? ["dynamic_batching { } instance_group { count: 4 }"] : []),
      tensor("input", "INPUT0", dims),
      tensor("output", "OUTPUT0", dims),
      ...Object.entries(parameters).map(
        ([key, value]) => `parameters { key: "${key}" value: { string_value: "${value}" } }`,
      ),
    ].join("\n");
  const open = async (t: TestContext, files: Readonly<Record<string, string>>, model: string) => {
    const repository = await temporaryFiles(t, files);
    const runner = await ModelRunner.open({ repositories: [repository], models: [model], log: new MemoryLog() });
    t.after(() => runner.close());
    return runner;
  };

  it("needs config.pbtxt and an empty version directory", async (t) => {
    const { target } = await startRemote(t);
    const config = configOf("kserve", "-1", { target, model: "giant" });
    const runner = await open(t, { "far/1/": "", "far/config.pbtxt": config }, "far");
    const rows = Array.from({ length: 10 }, (_, i) => i);
    const { outputs } = await runner.run("far", "1", [fp32("INPUT0", [10, 1], rows)], ["OUTPUT0"]);
    assert.deepEqual(floats(outputs[0]), rows);
  });

  it("may have a cascade whose levels are all remote: only unsure rows reach the second server", async (t) => {
    const [small, giant] = [await startRemote(t), await startRemote(t)];
    const level = (target: string) => configOf("kserve", "2", { target, model: "giant" });
    const cascade = {
      formatVersion: 1,
      levels: [
        { model: "small", confidence: { function: "max_prob", kind: "probabilities", outputs: { scores: "OUTPUT0" } } },
        { model: "large" },
      ],
      operatingPoints: [{ name: "AP", gates: [{ accept: 0.9 }], certificate: null }],
      default: "AP",
    };
    const files = {
      "small/1/": "",
      "small/config.pbtxt": level(small.target),
      "large/1/": "",
      "large/config.pbtxt": level(giant.target),
      "both/1/cascade.json": JSON.stringify(cascade),
      "both/config.pbtxt": configOf("cascade", "2"),
    };
    const runner = await open(t, files, "both");
    const rows = [0.95, 0.05, 0.5, 0.5, 0.04, 0.96];
    const { outputs } = await runner.run("both", "1", [fp32("INPUT0", [3, 2], rows)], ["OUTPUT0"]);
    assert.deepEqual(floats(outputs[0]), [...Float32Array.from(rows)]);
    const rowsAt = (remote: typeof small) => remote.model.requests.map((sent) => sent.inputs[0]?.shape[0]);
    assert.deepEqual([rowsAt(small), rowsAt(giant)], [[3], [1]]);
  });
});
