/** The Prometheus text: families, labels, values. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchedModel } from "../../scheduler/batched-model.ts";
import { VirtualClock } from "../../scheduler/clock.ts";
import { parseCpuTicks, parseMemoryUsage, utilization } from "../../server/cpu-usage.ts";
import { renderMetrics } from "../../server/metrics.ts";
import { signature } from "../support/tensors.ts";
import { FakeRepository } from "./support/fake-repository.ts";

const PROCESS = { residentBytes: 1000, cpuSeconds: 2.5 };

test("counters of every model with labels and units; failures by reason", async () => {
  const repository = new FakeRepository("a", "b");
  const { statistics } = repository.model("a");
  const timing = { computeInputMs: 1, computeInferMs: 2, computeOutputMs: 3 };
  statistics.recordExecution(4, timing, 1);
  statistics.recordSuccess(4, 7, 1.5, timing);
  statistics.recordFailure("CANCELED", 9);
  statistics.pendingRequestCount = 3;
  const text = await renderMetrics({ models: repository.loaded(), machine: undefined, process: PROCESS });
  const labels = '_team="vision",model="a",version="1"';
  const lines = text.split("\n");
  for (const line of [
    "# TYPE nv_inference_request_success counter",
    `nv_inference_request_success{${labels}} 1`,
    `nv_inference_request_failure{${labels},reason="CANCELED"} 1`,
    `nv_inference_request_failure{${labels},reason="BACKEND"} 0`,
    `nv_inference_count{${labels}} 4`,
    `nv_inference_exec_count{${labels}} 1`,
    `nv_inference_request_duration_us{${labels}} 7000`,
    `nv_inference_queue_duration_us{${labels}} 1500`,
    `nv_inference_compute_input_duration_us{${labels}} 1000`,
    `nv_inference_compute_infer_duration_us{${labels}} 2000`,
    `nv_inference_compute_output_duration_us{${labels}} 3000`,
    "# TYPE nv_inference_pending_request_count gauge",
    `nv_inference_pending_request_count{${labels}} 3`,
    `nv_model_load_duration_secs{${labels}} 0.25`,
    `nv_inference_count{${labels.replace('"a"', '"b"')}} 0`,
    "process_resident_memory_bytes 1000",
    "process_cpu_seconds_total 2.5",
  ]) {
    assert.ok(lines.includes(line), `${line}\nis missing in\n${text}`);
  }
  assert.doesNotMatch(text, /nv_cpu_/);
});

test("instances that can be lost: state, crashes, hangs, restarts", async () => {
  const clock = new VirtualClock();
  const report = { isolation: "process", device: "cpu", crashes: 3, hangs: 1, restarts: 2 } as const;
  const instance = {
    name: "m_0",
    execute: () => Promise.reject(new Error("not asked")),
    close: () => Promise.resolve(),
    report: { ...report, name: "m_0", state: "restarting" as const },
  };
  const model = new BatchedModel({
    signature: signature(),
    instances: [instance],
    batching: null,
    queuePolicy: { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false },
    clock,
  });
  const [loaded] = new FakeRepository("m").loaded();
  assert.ok(loaded);
  const text = await renderMetrics({ models: [{ ...loaded, model }], machine: undefined, process: PROCESS });
  const labels = '_team="vision",model="m",version="1",instance="m_0",device="cpu"';
  for (const line of [
    `hybridserve_instance_state{${labels},state="restarting"} 1`,
    `hybridserve_instance_state{${labels},state="ready"} 0`,
    `hybridserve_instance_crashes_total{${labels}} 3`,
    `hybridserve_instance_hangs_total{${labels}} 1`,
    `hybridserve_instance_restarts_total{${labels}} 2`,
  ]) {
    assert.ok(text.split("\n").includes(line), `${line}\nis missing in\n${text}`);
  }
});

test("an empty repository still renders every family", async () => {
  const text = await renderMetrics({ models: [], machine: undefined, process: PROCESS });
  assert.match(text, /# HELP nv_inference_request_failure Number of failed inference requests, all batch sizes/);
});

test("label values of a model cannot forge lines", async () => {
  const repository = new FakeRepository('x"} 1\nforged 1');
  const text = await renderMetrics({ models: repository.loaded(), machine: undefined, process: PROCESS });
  assert.ok(!text.split("\n").includes("forged 1"));
  assert.ok(!text.split("\n").some((line) => line.startsWith("forged")));
});

test("the machine's load and memory from /proc", async () => {
  const before = parseCpuTicks("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n");
  const after = parseCpuTicks("cpu  150 0 150 800 100 0 0 0 9 9\n");
  assert.deepEqual(before, { busy: 200, total: 1000 });
  assert.equal(utilization(before ?? { busy: 0, total: 0 }, after ?? { busy: 0, total: 0 }), 0.5);
  assert.equal(parseCpuTicks("nonsense"), undefined);
  const memory = parseMemoryUsage("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n");
  assert.deepEqual(memory, { totalBytes: 1_024_000, usedBytes: 614_400 });
  assert.equal(parseMemoryUsage("MemTotal: 1 kB\n"), undefined);
  const machine = { utilization: 0.5, memory: { totalBytes: 10, usedBytes: 4 } };
  const text = await renderMetrics({ models: [], machine, process: PROCESS });
  assert.match(text, /^nv_cpu_utilization 0\.5$/m);
  assert.match(text, /^nv_cpu_memory_total_bytes 10$/m);
  assert.match(text, /^nv_cpu_memory_used_bytes 4$/m);
});

test("breakers of models on other servers, by endpoint", async () => {
  const repository = new FakeRepository("a", "b");
  const calls = { success: 5, failure: 2, neutral: 1, refused: 3 };
  const breaker = { endpoint: "gpu:8001", model: "a", state: 1, transitions: 4, calls } as const;
  Object.assign(repository.model("a"), { breakers: [breaker] });
  const text = await renderMetrics({ models: repository.loaded(), machine: undefined, process: PROCESS });
  const labels = '_team="vision",model="a",version="1",endpoint="gpu:8001"';
  for (const line of [
    `hybridserve_breaker_state{${labels}} 1`,
    `hybridserve_breaker_transitions_total{${labels}} 4`,
    `hybridserve_breaker_calls_total{${labels},outcome="refused"} 3`,
  ]) {
    assert.ok(text.split("\n").includes(line), `${line}\nis missing in\n${text}`);
  }
  assert.doesNotMatch(text, /hybridserve_cascade|model="b".*endpoint/);
});
