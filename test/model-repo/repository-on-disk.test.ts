/** A repository on disk with the real backends: start, inference, load, unload, overrides, polling. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ModelRepository } from "../../model-repo/repository.ts";
import type { RepositoryOptions, RepositoryParameters } from "../../model-repo/repository-types.ts";
import { SystemClock, VirtualClock } from "../../scheduler/clock.ts";
import { identityModel, matMulModel } from "../support/onnx-writer.ts";
import { floats, fp32, request } from "../support/tensors.ts";
import { rows } from "./support/fake-world.ts";

const NO_PARAMETERS: RepositoryParameters = new Map();

let root = "";
before(async () => {
  root = await mkdtemp(join(tmpdir(), "hybridserve-test-"));
  // This process's temporary files are counted below.
  process.env["TMPDIR"] = root;
});
after(() => rm(root, { recursive: true, force: true }));

async function write(repository: string, files: Record<string, string | Uint8Array>): Promise<string> {
  const directory = join(root, repository);
  for (const [path, contents] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), contents);
  }
  return directory;
}

function open(
  directory: string,
  options: Partial<RepositoryOptions> = {},
): { repository: ModelRepository; log: string[] } {
  const log: string[] = [];
  const write = (fields: object, text: string) =>
    log.push(`${text} ${"reason" in fields ? String(fields.reason) : ""}`);
  const repository = new ModelRepository({
    repositories: [directory],
    controlMode: "explicit",
    pollSeconds: 1,
    loadModels: ["*"],
    autoComplete: true,
    backendConfig: new Map(),
    loadThreadCount: 4,
    loadRetryCount: 0,
    allowUncertified: false,
    allowMassUnload: false,
    maxQueuedRequests: 0,
    clock: new SystemClock(),
    log: { info: write, warn: write, error: write },
    ...options,
  });
  return { repository, log };
}

/** The answer of a model to x = [1, 2]. */
async function ask(repository: ModelRepository, name: string): Promise<number[]> {
  const response = await repository.lookup(name, "").infer(request({ inputs: [fp32("x", [1, 2], [1, 2])] }));
  return floats(response.outputs[0]);
}

const DOUBLE = matMulModel(
  [
    [2, 0],
    [0, 2],
  ],
  [0, 0],
);
const TRIPLE = matMulModel(
  [
    [3, 0],
    [0, 3],
  ],
  [0, 0],
);

const PAIR = `
  max_batch_size: 4
  input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 2 ] } ]
  output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 2 ] } ]`;

describe("a repository on disk", () => {
  it("serves what works and says of the rest why not", async () => {
    const directory = await write("mixed", {
      "double/1/model.onnx": DOUBLE,
      "echo/config.pbtxt": `backend: "identity" ${PAIR}`,
      "echo/1/.keep": "",
      "garbage/1/model.onnx": "garbage",
      "nofile/config.pbtxt": `backend: "onnxruntime" ${PAIR}`,
      "nofile/1/.keep": "",
      "foreign/config.pbtxt": `backend: "vllm" ${PAIR}`,
      "foreign/1/.keep": "",
      "noversion/config.pbtxt": `backend: "identity" ${PAIR}`,
      "syntax/config.pbtxt": "input [ {",
      "syntax/1/.keep": "",
    });
    const { repository } = open(directory);
    const report = await repository.start();
    const reasons = new Map(report.failures.map(({ name, reason }) => [name, reason]));
    assert.deepEqual([...reasons.keys()].sort(), ["foreign", "garbage", "nofile", "noversion", "syntax"]);
    assert.ok(
      reasons
        .get("nofile")
        ?.includes(`unable to find '${join(directory, "nofile", "1", "model.onnx")}' for model instance 'nofile`),
    );
    assert.match(
      reasons.get("foreign") ?? "",
      /unable to find backend library for backend 'vllm'.*onnxruntime, cascade, identity.*kserve/,
    );
    assert.deepEqual(await ask(repository, "double"), [2, 4]);
    assert.equal(repository.config("double", "").max_batch_size, 4);
    const echo = await repository.lookup("echo", "1").infer(request({ inputs: [fp32("INPUT0", [1, 2], [5, 6])] }));
    assert.deepEqual(floats(echo.outputs[0]), [5, 6]);
    await repository.close();
  });

  it("reloads a changed file, keeps the old one when the new one is broken, unloads and loads again", async () => {
    const directory = await write("reload", { "m/1/model.onnx": DOUBLE });
    const { repository } = open(directory);
    await repository.start();
    const before = repository.lookup("m", "");
    await repository.load("m", NO_PARAMETERS);
    assert.equal(repository.lookup("m", ""), before);
    await write("reload", { "m/1/model.onnx": TRIPLE });
    await repository.load("m", NO_PARAMETERS);
    assert.deepEqual(await ask(repository, "m"), [3, 6]);
    await write("reload", {
      "m/config.pbtxt": 'backend: "onnxruntime" max_batch_size: 2',
      "m/1/model.onnx": "garbage",
    });
    await assert.rejects(repository.load("m", NO_PARAMETERS));
    assert.deepEqual(await ask(repository, "m"), [3, 6]);
    await write("reload", { "m/2/model.onnx": DOUBLE });
    await repository.load("m", NO_PARAMETERS);
    assert.deepEqual(repository.readyVersions("m"), ["2"]);
    await repository.unload("m", NO_PARAMETERS);
    await assert.rejects(async () => ask(repository, "m"), { code: "NOT_FOUND" });
    await repository.close();
    assert.deepEqual(rows(await repository.index(false)), ["m:1 UNAVAILABLE (unloaded)", "m:2 UNAVAILABLE (unloaded)"]);
  });

  it("takes configuration and files from a load request until the model is unloaded", async () => {
    const directory = await write("override", { "m/1/model.onnx": DOUBLE });
    const { repository, log } = open(directory);
    await repository.start();
    const config = { kind: "string", value: JSON.stringify({ backend: "onnxruntime", max_batch_size: 2 }) } as const;
    await repository.load("m", new Map([["config", config]]));
    assert.equal(repository.config("m", "").max_batch_size, 2);
    const ours = async () => (await readdir(tmpdir())).filter((name) => name.startsWith("hybridserve-model-"));
    assert.deepEqual(await ours(), []);
    const file = { kind: "bytes", value: TRIPLE } as const;
    await repository.load("m", new Map([["config", config], ["file:7/model.onnx", file] as never]));
    assert.deepEqual(repository.readyVersions("m"), ["7"]);
    await repository.load("m", NO_PARAMETERS);
    assert.deepEqual(await ask(repository, "m"), [3, 6]);
    await repository.load("new", new Map([["config", config], ["file:1/model.onnx", file] as never]));
    assert.deepEqual(await ask(repository, "new"), [3, 6]);
    assert.equal((await ours()).length, 2);
    const broken = { kind: "string", value: "{" } as const;
    await assert.rejects(repository.load("m", new Map([["config", broken]])), {
      code: "INTERNAL",
      message: "failed to load 'm', failed to poll from model repository",
    });
    assert.ok(log.some((line) => /model 'm' is not loaded .*[Cc]onfig override/.test(line)));
    assert.deepEqual(await ask(repository, "m"), [3, 6]);
    await repository.unload("m", NO_PARAMETERS);
    await repository.load("m", NO_PARAMETERS);
    assert.deepEqual(await ask(repository, "m"), [2, 4]);
    await repository.close();
    assert.deepEqual(await ours(), []);
  });

  it("polls", async () => {
    const clock = new VirtualClock();
    const directory = await write("polled", { "a/1/model.onnx": DOUBLE, "b/1/model.onnx": DOUBLE });
    const { repository } = open(directory, { controlMode: "poll", loadModels: [], clock });
    await repository.start();
    await write("polled", { "a/1/model.onnx": TRIPLE, "c/1/model.onnx": identityModel("FP32", ["N", 2]) });
    await rm(join(directory, "b"), { recursive: true });
    const ready = async () => rows(await repository.index(true)).join();
    const expected = "a:1 READY,c:1 READY";
    for (let polls = 0; (await ready()) !== expected; polls++) {
      assert.ok(polls < 10_000, await ready());
      await clock.advance(1000);
    }
    await repository.close();
  });
});
