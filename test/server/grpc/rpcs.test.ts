/** The RPCs over a real connection, answered from a fake repository. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { InferenceError } from "../../../proto/errors.ts";
import { FakeRepository } from "../support/fake-repository.ts";
import { fp32Request } from "../support/grpc-client.ts";
import { TestServer, until } from "../support/test-server.ts";

test("server status and metadata", async (t) => {
  const server = await TestServer.start(t, new FakeRepository("a"));
  assert.deepEqual(await server.client.call("ServerLive"), { live: true });
  assert.deepEqual(await server.client.call("ServerReady"), { ready: true });
  assert.deepEqual(await server.client.call("Check", { service: "anything" }), { status: "SERVING" });
  server.health.ready = false;
  assert.deepEqual(await server.client.call("ServerReady"), { ready: false });
  assert.deepEqual(await server.client.call("Check"), { status: "NOT_SERVING" });
  const metadata = await server.client.call("ServerMetadata");
  assert.equal(metadata["name"], "triton");
  assert.match(String(metadata["version"]), /^2\.\d+\.\d+$/);
  assert.deepEqual(metadata["extensions"], [
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
  ]);
});

test("ModelReady is false, not an error, for what is unknown or would not answer", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  assert.deepEqual(await server.client.call("ModelReady", { name: "a" }), { ready: true });
  assert.deepEqual(await server.client.call("ModelReady", { name: "a", version: "2" }), { ready: false });
  assert.deepEqual(await server.client.call("ModelReady", { name: "b" }), { ready: false });
  repository.model("a").isReady = false; // its remote does not answer
  assert.deepEqual(await server.client.call("ModelReady", { name: "a" }), { ready: false });
  await server.client.call("ModelStatistics", { name: "a", version: "1" });
});

test("ModelMetadata and ModelConfig", async (t) => {
  const server = await TestServer.start(t, new FakeRepository("a"));
  assert.deepEqual(await server.client.call("ModelMetadata", { name: "a" }), {
    name: "a",
    versions: ["1"],
    platform: "identity",
    inputs: [{ name: "INPUT0", datatype: "FP32", shape: ["-1", "-1"] }],
    outputs: [{ name: "OUTPUT0", datatype: "FP32", shape: ["-1", "-1"] }],
  });
  const { config } = (await server.client.call("ModelConfig", { name: "a" })) as { config: Record<string, unknown> };
  assert.equal(config["max_batch_size"], 8);
  assert.equal(config["backend"], "identity");
  const unknown = [status.NOT_FOUND, "Request for unknown model: 'b' is not found"];
  assert.deepEqual(await server.failure("ModelMetadata", { name: "b" }), unknown);
  assert.deepEqual(await server.failure("ModelConfig", { name: "b" }), unknown);
});

test("ModelInfer answers the version that ran, the id and raw contents", async (t) => {
  const server = await TestServer.start(t, new FakeRepository("a"));
  const answer = await server.client.call("ModelInfer", fp32Request("a", [1, 2], { id: "7" }));
  assert.equal(answer["model_version"], "1");
  assert.equal(answer["id"], "7");
  assert.deepEqual(answer["parameters"], {});
  const [raw] = answer["raw_output_contents"] as Buffer[];
  assert.deepEqual([raw?.readFloatLE(0), raw?.readFloatLE(4)], [1, 2]);
});

test("ModelInfer checks in Triton's order: lookup, parameters, data", async (t) => {
  const server = await TestServer.start(t, new FakeRepository("a"));
  const bad = { parameters: { timeout: { bool_param: true } }, raw_input_contents: [] };
  assert.deepEqual(await server.failure("ModelInfer", fp32Request("b", [1], bad)), [
    status.NOT_FOUND,
    "Request for unknown model: 'b' is not found",
  ]);
  assert.deepEqual(await server.failure("ModelInfer", fp32Request("a", [1], bad)), [
    status.INVALID_ARGUMENT,
    "invalid value type for 'timeout' parameter, expected int64_param.",
  ]);
  assert.deepEqual(await server.failure("ModelInfer", fp32Request("a", [1], { raw_input_contents: [] })), [
    status.INVALID_ARGUMENT,
    "unable to find data for input tensor 'INPUT0' for model 'a' in request.",
  ]);
});

test("a message that cannot be decoded answers its own code, not INTERNAL", async (t) => {
  const server = await TestServer.start(t, new FakeRepository("a"));
  const [code] = await server.failure("ModelInfer", fp32Request("x".repeat(300), [1]));
  assert.equal(code, status.INVALID_ARGUMENT);
});

test("a fault of the server answers INTERNAL without its text, and the log has it", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  repository.model("a").behaviour = { kind: "fail", error: new TypeError("secret /path") };
  assert.deepEqual(await server.failure("ModelInfer", fp32Request("a", [1])), [
    status.INTERNAL,
    "unexpected error in the server; its log has the details",
  ]);
  assert.match(JSON.stringify(server.log.lines), /secret/);
});

test("an error text with a lone surrogate reaches the client and does not end the process", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  repository.model("a").behaviour = { kind: "fail", error: new InferenceError("UNAVAILABLE", "half \ud83d") };
  assert.deepEqual(await server.failure("ModelInfer", fp32Request("a", [1])), [status.UNAVAILABLE, "half \ufffd"]);
});

test("a cancelled call is cancelled in the model, as CANCELLED", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  const model = repository.model("a");
  model.behaviour = { kind: "hold" };
  const call = server.client.start("ModelInfer", fp32Request("a", [1]));
  await until(() => model.heldCount === 1);
  call.cancel();
  await until(() => model.cancelled.length === 1);
  assert.equal(model.cancelled[0]?.code, "CANCELLED");
});

test("a deadline is a cancellation as DEADLINE_EXCEEDED; an answered call is none", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  const model = repository.model("a");
  await server.client.call("ModelInfer", fp32Request("a", [1]));
  model.behaviour = { kind: "hold" };
  // Without a deadline of the client's own, which may cancel before the server knows that it is late.
  const [code] = await server.failure("ModelInfer", fp32Request("a", [1]), { headers: { "grpc-timeout": "100m" } });
  assert.equal(code, status.DEADLINE_EXCEEDED);
  await until(() => model.cancelled.length === 1);
  assert.equal(model.cancelled[0]?.code, "DEADLINE_EXCEEDED");
});

test("ModelStatistics in nanoseconds, and Triton's texts for what is not there", async (t) => {
  const repository = new FakeRepository("a", "b");
  const server = await TestServer.start(t, repository);
  const timing = { computeInputMs: 1, computeInferMs: 2, computeOutputMs: 3 };
  repository.model("a").statistics.recordExecution(4, timing, 1_700_000_000_123.4);
  repository.model("a").statistics.recordSuccess(4, 7, 1, timing);
  const all = (await server.client.call("ModelStatistics")) as { model_stats: Record<string, unknown>[] };
  assert.deepEqual(
    all.model_stats.map(({ name }) => name),
    ["a", "b"],
  );
  const one = (await server.client.call("ModelStatistics", { name: "a", version: "1" })) as typeof all;
  const [statistics] = one.model_stats;
  assert.equal(statistics?.["last_inference"], "1700000000123");
  assert.equal(statistics?.["inference_count"], "4");
  const stats = statistics?.["inference_stats"] as Record<string, unknown>;
  assert.deepEqual(stats["success"], { count: "1", ns: "7000000" });
  assert.deepEqual(stats["compute_infer"], { count: "1", ns: "2000000" });
  assert.deepEqual(await server.failure("ModelStatistics", { name: "c" }), [
    status.INVALID_ARGUMENT,
    "requested model 'c' is not available",
  ]);
  assert.deepEqual(await server.failure("ModelStatistics", { name: "a", version: "9" }), [
    status.INVALID_ARGUMENT,
    "requested model version is not available for model 'a'",
  ]);
});

test("repository control passes typed parameters on", async (t) => {
  const repository = new FakeRepository("a");
  repository.entries = [
    { name: "a", version: "1", state: "READY", reason: "" },
    { name: "b", version: "", state: "", reason: "" },
  ];
  const server = await TestServer.start(t, repository);
  const index = (await server.client.call("RepositoryIndex", { ready: true })) as { models: unknown[] };
  assert.deepEqual(index.models, [{ name: "a", version: "1", state: "READY", reason: "" }]);
  await server.client.call("RepositoryModelLoad", {
    model_name: "a",
    parameters: { config: { string_param: "{}" }, "file:1/model.onnx": { bytes_param: Buffer.from("x") } },
  });
  await server.client.call("RepositoryModelUnload", {
    model_name: "a",
    parameters: { unload_dependents: { bool_param: true }, n: { int64_param: "-5" } },
  });
  assert.deepEqual(repository.loads[0]?.parameters.get("config"), { kind: "string", value: "{}" });
  assert.deepEqual(repository.loads[0]?.parameters.get("file:1/model.onnx"), {
    kind: "bytes",
    value: Buffer.from("x"),
  });
  assert.deepEqual(repository.unloads[0]?.parameters.get("unload_dependents"), { kind: "bool", value: true });
  assert.deepEqual(repository.unloads[0]?.parameters.get("n"), { kind: "int64", value: -5n });
  for (const method of ["RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"]) {
    assert.deepEqual(await server.failure(method, { repository_name: "r" }), [
      status.UNIMPLEMENTED,
      "'repository_name' specification is not supported",
    ]);
  }
});

test("shared memory, trace and log settings answer in Triton's words", async (t) => {
  const server = await TestServer.start(t, new FakeRepository());
  assert.deepEqual(await server.client.call("SystemSharedMemoryStatus"), { regions: {} });
  assert.deepEqual(await server.client.call("CudaSharedMemoryStatus"), { regions: {} });
  assert.deepEqual(await server.client.call("SystemSharedMemoryUnregister"), {});
  assert.deepEqual(await server.client.call("CudaSharedMemoryUnregister", { name: "r" }), {});
  assert.deepEqual(await server.failure("SystemSharedMemoryStatus", { name: "r" }), [
    status.NOT_FOUND,
    "Unable to find system shared memory region: 'r'",
  ]);
  const disabled = [
    status.UNIMPLEMENTED,
    "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
  ];
  assert.deepEqual(await server.failure("SystemSharedMemoryRegister", { name: "r" }), disabled);
  assert.deepEqual(await server.failure("CudaSharedMemoryRegister", { name: "r" }), disabled);
  const file = { settings: { log_file: { string_param: "/tmp/x" }, trace_file: { value: ["/tmp/x"] } } };
  assert.deepEqual(await server.failure("LogSettings", { settings: { log_file: { string_param: "/tmp/x" } } }), [
    status.UNIMPLEMENTED,
    "log file location can not be updated through network protocol",
  ]);
  assert.deepEqual(await server.failure("TraceSetting", { settings: { trace_file: file.settings.trace_file } }), [
    status.UNIMPLEMENTED,
    "trace file location can not be updated through network protocol",
  ]);
});

test("with --allow-client-shm registering says what is missing", async (t) => {
  const server = await TestServer.start(t, new FakeRepository(), { allowClientSharedMemory: true });
  const [code, text] = await server.failure("SystemSharedMemoryRegister", { name: "r" });
  assert.equal(code, status.UNIMPLEMENTED);
  assert.doesNotMatch(String(text), /allow-client-shm/);
  assert.deepEqual(await server.failure("CudaSharedMemoryRegister", { name: "r" }), [
    status.INVALID_ARGUMENT,
    "failed to register CUDA shared memory region: 'r', GPUs not supported",
  ]);
});
