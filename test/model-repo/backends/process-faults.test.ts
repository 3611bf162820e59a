/**
 * Faults of instances in processes under load, as users meet them: F-01, F-02, F-03, F-05 and F-06 of the reliability
 * plan. Real processes are killed, abort and hang while requests come, so that each case takes one to five seconds.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { requestFingerprint } from "../../../model-repo/backends/request-fingerprint.ts";
import { ModelRepository } from "../../../model-repo/repository.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { BatchedModel } from "../../../scheduler/batched-model.ts";
import { Cancellation } from "../../../scheduler/cancellation.ts";
import { SystemClock, VirtualClock } from "../../../scheduler/clock.ts";
import type { InstanceReport } from "../../../scheduler/instance.ts";
import { identityModel, node, onnxModel, tensor, tensorInfo } from "../../support/onnx-writer.ts";
import { floats, fp32, request, spec } from "../../support/tensors.ts";
import { ABORT, DELAY, EXIT, HANG, isAlive, row, startFragile, until } from "../support/process-instances.ts";

const RUN_MS = 15;

async function startModel(): Promise<BatchedModel> {
  const instances = await Promise.all([startFragile([], { name: "m_0" }), startFragile([], { name: "m_1" })]);
  return new BatchedModel({
    signature: {
      name: "m",
      version: "1",
      maxBatchSize: 8,
      inputs: [spec("x", [2])],
      outputs: [spec("y", [2])],
    },
    instances,
    batching: { maxBatchSize: 8, preferredBatchSizes: [], maxQueueDelayMs: 0, preserveOrdering: false },
    queuePolicy: { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false },
    clock: new SystemClock(),
    fingerprint: requestFingerprint,
  });
}

/** Sends requests at a steady rate, each with its own number, and checks that every answer is its request's. */
class OpenLoop {
  sent = 0;
  answered = 0;
  readonly errors: string[] = [];
  readonly #model: BatchedModel;
  readonly #timer: NodeJS.Timeout;
  readonly #open: Promise<void>[] = [];

  constructor(model: BatchedModel, requestsPerSecond: number) {
    this.#model = model;
    const startedMs = performance.now();
    this.#timer = setInterval(() => {
      const due = ((performance.now() - startedMs) / 1_000) * requestsPerSecond;
      while (this.sent < due) this.#open.push(this.#ask(this.sent++));
    }, 2);
  }

  async #ask(number: number): Promise<void> {
    try {
      const input = fp32("x", [1, 2], [DELAY + RUN_MS, 10_000 + number]);
      const { outputs } = await this.#model.infer(request({ inputs: [input] }));
      assert.deepEqual(floats(outputs[0]), [DELAY + RUN_MS, 10_000 + number]);
      this.answered++;
    } catch (error) {
      this.errors.push(String(error));
    }
  }

  /** Sends no more and waits for all answers. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
  }
}

function reportOf(model: BatchedModel, index: number): InstanceReport {
  const report = model.instanceReports[index];
  assert.ok(report !== undefined);
  return report;
}

describe("a process that is killed under load (F-01)", () => {
  it("costs no answer: three kills at 500 requests a second", async () => {
    const model = await startModel();
    const load = new OpenLoop(model, 500);
    for (const [kill, index] of [0, 1, 0].entries()) {
      await until(() => load.answered > 150 * (kill + 1));
      const { pid } = reportOf(model, index);
      assert.ok(pid !== undefined);
      const killedMs = performance.now();
      process.kill(pid, "SIGKILL");
      await until(() => reportOf(model, index).crashes > 0 && reportOf(model, index).pid !== pid);
      await until(() => reportOf(model, index).state === "ready");
      assert.ok(performance.now() - killedMs < 2_000, "capacity is back");
    }
    await load.end();
    assert.deepEqual(load.errors, []);
    assert.equal(load.answered, load.sent);
    assert.deepEqual(
      model.instanceReports.map(({ crashes, restarts }) => [crashes, restarts]),
      [
        [2, 2],
        [1, 1],
      ],
    );
    await model.close();
  });

  it("fails a request whose deadline has passed, with how the process ended", async () => {
    const model = await startModel();
    const { pid } = reportOf(model, 0);
    assert.ok(pid !== undefined);
    const answer = model.infer(row(DELAY + 3_000), new Cancellation(performance.now()));
    process.kill(pid, "SIGKILL");
    await assert.rejects(answer, { code: "UNAVAILABLE", message: /died: killed by SIGKILL$/ });
    await model.close();
  });
});

describe("a query of death (F-02)", () => {
  it("is refused after three ends, others get their answers, and it is known when it comes again", async () => {
    const model = await startModel();
    const load = new OpenLoop(model, 200);
    await until(() => load.answered > 20);
    const poison = row(ABORT);
    await assert.rejects(model.infer(poison), { code: "INTERNAL", message: /^poison: this request ended 3 instances/ });
    await until(() => model.instanceReports.every(({ state }) => state === "ready"));
    const restarts = () => model.instanceReports.reduce((sum, report) => sum + report.restarts, 0);
    assert.equal(restarts(), 3);
    await assert.rejects(model.infer(poison), { code: "INTERNAL", message: /^poison: the same inputs/ });
    await load.end();
    assert.equal(restarts(), 3);
    assert.deepEqual(load.errors, []);
    await model.close();
  });
});

describe("a process that keeps ending (F-03)", () => {
  it("is down after five ends in a minute and tried again after thirty seconds", async () => {
    const clock = new VirtualClock();
    const instance = await startFragile([], { clock });
    for (let ends = 1; ends <= 5; ends++) {
      await assert.rejects(instance.execute([row(EXIT)]));
      assert.equal(instance.report.crashes, ends);
      if (ends === 5) break;
      await clock.advance(10_000);
      await until(() => instance.outage === undefined);
    }
    assert.equal(instance.report.state, "down");
    await assert.rejects(instance.execute([row(1)]), {
      code: "UNAVAILABLE",
      message: /exit code 3 \(no more\); it ended too often, it is started again in 30.0 s$/,
    });
    await clock.advance(29_999);
    assert.equal(instance.report.pid, undefined);
    await clock.advance(1);
    await until(() => instance.outage === undefined);
    assert.deepEqual(floats((await instance.execute([row(1)])).outputs[0]?.[0]), [1, 0]);
    assert.equal(instance.report.restarts, 5);
    await instance.close();
  });
});

describe("a run that hangs under load (F-05)", () => {
  it("is answered soon after two seconds, its process is replaced, and the others' answers come", async () => {
    const model = await startModel();
    const load = new OpenLoop(model, 200);
    // Both instances need runs behind them: before that only the cap limits a run.
    await until(() => load.answered > 600);
    const pids = model.instanceReports.map(({ pid }) => pid);
    const startedMs = performance.now();
    await assert.rejects(model.infer(row(HANG)), { code: "INTERNAL", message: /did not answer within \d+ ms/ });
    const waitedMs = performance.now() - startedMs;
    assert.ok(waitedMs > 1_900 && waitedMs < 3_500, `answered after ${waitedMs} ms`);
    await until(() => model.instanceReports.every(({ state }) => state === "ready"));
    assert.ok(performance.now() - startedMs < 5_000, "replaced");
    await load.end();
    assert.equal(
      model.instanceReports.reduce((sum, { hangs }) => sum + hangs, 0),
      1,
    );
    // At most those that shared its batch.
    assert.ok(load.errors.length < 8 && load.errors.every((error) => /did not answer/.test(error)), load.errors[0]);
    const hung = model.instanceReports.findIndex(({ hangs }) => hangs === 1);
    assert.ok(!isAlive(pids[hung] ?? 0));
    await model.close();
  });
});

describe("a version that cannot be loaded into its process (F-06)", () => {
  let directory = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "hybridserve-test-"));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  it("is unavailable with the reason, the one before serves on, and unloading ends its process", async () => {
    const side = 4_000;
    const large = onnxModel({
      nodes: [node("MatMul", ["x", "w"], ["h"]), node("ReduceMax", ["h"], ["y"])],
      inputs: [tensorInfo("x", "FP32", ["N", 2])],
      outputs: [tensorInfo("y", "FP32", ["N", 2])],
      initializers: [tensor("w", "FP32", [side, side], new Uint8Array(side * side * 4))],
    });
    const config = `
      backend: "onnxruntime" max_batch_size: 8 version_policy { all {} }
      input { name: "x" data_type: TYPE_FP32 dims: 2 } output { name: "y" data_type: TYPE_FP32 dims: 2 }
      parameters { key: "isolation" value { string_value: "process" } }
      parameters { key: "memory_limit_bytes" value { string_value: "${130 * 2 ** 20}" } }`;
    const put = async (path: string, contents: string | Uint8Array): Promise<void> => {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), contents);
    };
    await put("m/config.pbtxt", config);
    await put("m/1/model.onnx", identityModel("FP32", ["N", 2]));
    const write = (): void => undefined;
    const repository = new ModelRepository({
      repositories: [directory],
      controlMode: "explicit",
      pollSeconds: 1,
      loadModels: ["m"],
      autoComplete: true,
      backendConfig: new Map(),
      loadThreadCount: 4,
      loadRetryCount: 0,
      allowUncertified: false,
      allowMassUnload: false,
      maxQueuedRequests: 0,
      clock: new SystemClock(),
      log: { info: write, warn: write, error: write },
    });
    await repository.start();
    await put("m/2/model.onnx", large);
    const reason = /bad_alloc; it needs more than its memory limit of 130 MiB/;
    await assert.rejects(repository.load("m", new Map()), reason);
    const versions = new Map((await repository.index(false)).map((entry) => [entry.version, entry]));
    assert.equal(versions.get("1")?.state, "READY");
    assert.equal(versions.get("2")?.state, "UNAVAILABLE");
    assert.match(versions.get("2")?.reason ?? "", reason);
    const { model } = repository.find("m", "1");
    const { outputs } = await model.infer(row(4));
    assert.deepEqual(floats(outputs[0]), [4, 0]);
    assert.ok(model instanceof BatchedModel);
    const pid = reportOf(model, 0).pid ?? 0;
    assert.ok(isAlive(pid));
    await repository.unload("m", new Map());
    await until(() => !isAlive(pid));
    await assert.rejects(async () => repository.lookup("m", ""), InferenceError);
    await repository.close();
  });
});
