/** A cascade whose levels run on another server: two processes of ours, calibrated and served as any cascade. */
import assert from "node:assert/strict";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CascadeFile } from "../../proto/files/cascade-file.ts";
import { readNpz } from "../../proto/files/npz.ts";
import { parseCascadeFile } from "../../proto/files/read-cascade-file.ts";
import {
  calibrate,
  FASHION_COSTS,
  FASHION_IMAGES,
  FASHION_LEVELS,
  fashionCopy,
} from "../cli/calibrate/calibrate-runs.ts";
import { TestClient } from "../server/support/grpc-client.ts";
import { FREE_PORTS, ServedProcess } from "../server/support/served-process.ts";
import { temporaryFiles } from "../support/temporary-files.ts";

/** Rows of one request, and how many requests are sent at once: together the golden rows. */
const ROWS = 32;
const REQUESTS = 8;

/** The process that has the levels, and where it answers. */
async function serveLevels(t: TestContext, models: string): Promise<{ process: ServedProcess; target: string }> {
  const process = new ServedProcess(t, ["serve", "--model-repository", models, ...FREE_PORTS]);
  return { process, target: `127.0.0.1:${await process.port("GRPCInferenceService")}` };
}

function remoteLevel(target: string): string {
  return [
    'backend: "kserve"',
    "max_batch_size: 64",
    "dynamic_batching { }",
    'input { name: "image" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] }',
    'output { name: "logits" data_type: TYPE_FP32 dims: [ 10 ] }',
    `parameters { key: "target" value: { string_value: "${target}" } }`,
  ].join("\n");
}

/** The value of one series; undefined where it is not there. */
function metric(text: string, name: string, ...labels: readonly string[]): number | undefined {
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`));
  const line = lines.find((candidate) => labels.every((label) => candidate.includes(label)));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

it("is calibrated through its remote models, certified, served and accounted", { timeout: 120_000 }, async (t) => {
  const { models } = await fashionCopy(t, false);
  const far = await serveLevels(t, models);
  const { models: near, cascade, cache } = await remoteCopy(t, far.target);
  const argv = ["--model-repository", near, "--model", "fashion", "--data", FASHION_IMAGES, "--max-drop", "0.05"];
  // Given costs: measured ones would choose another point on another day.
  const calibrated = await calibrate(...argv, "--cache", cache, "--costs", FASHION_COSTS);
  assert.equal(calibrated.code, 0, calibrated.stderr);
  const file = parseCascadeFile(await readFile(join(cascade, "2", "cascade.json"), "utf8"), "cascade.json");
  assert.equal(certifiedDrop(file), 0.05);
  assert.equal(new Set(file.calibration?.levelHashes).size, 3);

  const server = new ServedProcess(t, ["serve", "--model-repository", near, ...FREE_PORTS]);
  const client = new TestClient(await server.port("GRPCInferenceService"));
  t.after(() => client.close());
  const metrics = await server.port("Metrics Service");
  const readMetrics = async () => (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
  const before = await readMetrics();
  assert.equal(metric(before, "hybridserve_certificate_state", 'operating_point="AP"', 'state="valid"'), 1);

  const golden = readNpz(await readFile(join(cascade, "2", "golden.npz")), "golden.npz");
  const images = golden.get("input:image");
  assert.ok(images !== undefined && images.shape[0] === ROWS * REQUESTS);
  const bytes = Buffer.from(images.data.buffer, images.data.byteOffset, images.data.byteLength);
  const slice = bytes.byteLength / REQUESTS;
  const answers = await Promise.all(
    Array.from({ length: REQUESTS }, (_, i) =>
      client.call("ModelInfer", {
        model_name: "fashion",
        inputs: [{ name: "image", datatype: "FP32", shape: [ROWS, 1, 28, 28] }],
        outputs: [{ name: "logits" }],
        raw_input_contents: [bytes.subarray(i * slice, (i + 1) * slice)],
      }),
    ),
  );
  const perLevel = answers.map((answer) => rowsPerLevel(answer));
  const answered = FASHION_LEVELS.map((_, level) => perLevel.reduce((sum, rows) => sum + (rows[level] ?? 0), 0));
  assert.equal(
    answered.reduce((sum, rows) => sum + rows, 0),
    ROWS * REQUESTS,
  );
  assert.ok((answered[0] ?? 0) > 0 && (answered[0] ?? 0) < ROWS * REQUESTS, `rows per level ${answered}`);

  const after = await readMetrics();
  for (const level of FASHION_LEVELS.keys()) {
    const labels = [`level="${level}"`, `destination="${level}"`];
    const rows = metric(after, "hybridserve_cascade_rows_total", 'model="fashion"', ...labels) ?? 0;
    assert.equal(rows, answered[level], `rows answered at level ${level}`);
  }
  for (const model of FASHION_LEVELS) {
    assert.equal(metric(after, "hybridserve_breaker_state", `model="${model}"`, `endpoint="${far.target}"`), 0);
  }
  const calls = metric(after, "hybridserve_breaker_calls_total", 'model="fashion-xs"', 'outcome="success"') ?? 0;
  assert.ok(calls > 0);

  far.process.child.kill("SIGKILL");
  await far.process.ended;
  const failure = await client.failure("ModelInfer", {
    model_name: "fashion",
    inputs: [{ name: "image", datatype: "FP32", shape: [1, 1, 28, 28] }],
    raw_input_contents: [bytes.subarray(0, slice / ROWS)],
  });
  assert.equal(failure.code, 14);
  assert.match(failure.details, /fashion-xs/);
  // Only the small level is asked; what its breaker finds out holds for the others at the latest with its first probe.
  const ready = async () => {
    const models = ["fashion", "fashion-xs", "fashion-l"].map((name) => client.call("ModelReady", { name }));
    return (await Promise.all(models)).map((answer) => answer["ready"]);
  };
  assert.deepEqual(await ready(), [true, true, true]);
  const image = { name: "image", datatype: "FP32", shape: [1, 1, 28, 28] };
  const lost = { model_name: "fashion", inputs: [image], raw_input_contents: [bytes.subarray(0, slice / ROWS)] };
  for (let i = 0; i < 40; i++) await client.failure("ModelInfer", lost);
  for (let i = 0; i < 100 && (await ready()).includes(true); i++) await sleep(50);
  assert.deepEqual(await ready(), [false, false, false], "the endpoint is down for all its models");
  assert.match(
    (await client.failure("ModelInfer", { ...lost, model_name: "fashion-l" })).details,
    /is not asked while/,
  );
  server.child.kill("SIGKILL");
  await server.ended;

  assert.equal(await stateOver(t, near, models), "valid", "the same models on another port");
  await cp(join(models, "fashion-m/1/model.onnx"), join(models, "fashion-xs/1/model.onnx"));
  assert.equal(await stateOver(t, near, models), "void", "other weights under the same metadata");
});

it("--url runs the levels of a new cascade on the other server", { timeout: 60_000 }, async (t) => {
  const { models } = await fashionCopy(t, false);
  const { target } = await serveLevels(t, models);
  const root = await temporaryFiles(t, { "models/": "" });
  const argv = ["--model-repository", join(root, "models"), "--model", "mine", "--levels", FASHION_LEVELS.join(",")];
  const more = ["--data", FASHION_IMAGES, "--max-drop", "0.05", "--cache", join(root, "cache"), "--url", target];
  const run = await calibrate(...argv, ...more);
  assert.equal(run.code, 0, run.stderr);
  const path = join(root, "models/mine/1/cascade.json");
  const file = parseCascadeFile(await readFile(path, "utf8"), path);
  assert.deepEqual(
    file.levels.map(({ model, version, cost }) => [model, version, cost?.unit]),
    FASHION_LEVELS.map((model) => [model, "1", "seconds"]),
  );
  assert.equal(certifiedDrop(file), 0.05);

  // The same models from files here: their hashes cannot be compared with those of metadata, the golden rows can.
  for (const level of FASHION_LEVELS) await cp(join(models, level), join(root, "models", level), { recursive: true });
  assert.equal(await certificateState(t, join(root, "models")), "unverified");

  const missing = await calibrate(...argv.with(3, "other").with(5, "fashion-xs,nothing"), ...more);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /model 'nothing' on remote '127\.0\.0\.1:\d+': .*unknown model: 'nothing'/);
});

/** A repository with `kserve` models of the demo's names and the uncalibrated cascade over them. */
async function remoteCopy(t: TestContext, target: string) {
  const copy = await fashionCopy(t);
  for (const level of FASHION_LEVELS) await rm(join(copy.models, level, "1", "model.onnx"));
  await pointLevels(copy.models, target);
  return copy;
}

/** Writes where the levels of the repository run. */
async function pointLevels(models: string, target: string): Promise<void> {
  for (const level of FASHION_LEVELS) await writeFile(join(models, level, "config.pbtxt"), remoteLevel(target));
}

/** State of AP's certificate once `models` run in a new process and the cascade's levels are there. */
async function stateOver(t: TestContext, near: string, models: string): Promise<string | undefined> {
  const far = await serveLevels(t, models);
  await pointLevels(near, far.target);
  return certificateState(t, near);
}

/** State of AP's certificate where a new process serves `models`. */
async function certificateState(t: TestContext, models: string): Promise<string | undefined> {
  const server = new ServedProcess(t, ["serve", "--model-repository", models, ...FREE_PORTS]);
  const text = await (await fetch(`http://127.0.0.1:${await server.port("Metrics Service")}/metrics`)).text();
  const states = ["valid", "unverified", "void", "uncertified"];
  const isState = (state: string) =>
    metric(text, "hybridserve_certificate_state", 'operating_point="AP"', `state="${state}"`) === 1;
  return states.find(isState);
}

/** What the default point's certificate promises; undefined where it has none. */
function certifiedDrop(file: CascadeFile): number | undefined {
  return file.operatingPoints.find(({ name }) => name === file.default)?.certificate?.epsilon;
}

function rowsPerLevel(answer: Record<string, unknown>): number[] {
  const parameters = answer["parameters"] as Record<string, { string_param?: string }>; // proto-loader's map
  return (parameters["cascade_rows_per_level"]?.string_param ?? "").split(",").map(Number);
}
