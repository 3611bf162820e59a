/** The Prometheus text of one scrape: Triton's nv_* families and ours, read from the models' own counters; nothing runs per request. */
import { Counter, Gauge, Registry } from "prom-client";
import type { LoadedModel } from "../model-repo/repository-types.ts";
import { FAILURE_REASONS, type ModelStatistics } from "../scheduler/statistics.ts";
import { addCascadeMetrics } from "./cascade-metrics.ts";
import type { MachineUsage } from "./cpu-usage.ts";
import type { HttpRoute } from "./http-server.ts";
import { addInstanceMetrics } from "./instance-metrics.ts";
import { labelsOf } from "./metric-labels.ts";
import { PLAN_STATES, type PlanState } from "./plan/served-plan.ts";

const US_PER_MS = 1000;

/** A counter per model version: its name, Triton's help text and where its value comes from. */
interface ModelCounter {
  readonly name: string;
  readonly help: string;
  value(statistics: ModelStatistics): number;
}

const MODEL_COUNTERS: readonly ModelCounter[] = [
  {
    name: "nv_inference_request_success",
    help: "Number of successful inference requests, all batch sizes",
    value: (statistics) => statistics.success.count,
  },
  {
    name: "nv_inference_count",
    help: "Number of inferences performed (does not include cached requests)",
    value: (statistics) => statistics.inferenceCount,
  },
  {
    name: "nv_inference_exec_count",
    help: "Number of model executions performed (does not include cached requests)",
    value: (statistics) => statistics.executionCount,
  },
  {
    name: "nv_inference_request_duration_us",
    help: "Cumulative inference request duration in microseconds (includes cached requests)",
    value: (statistics) => statistics.success.ms * US_PER_MS,
  },
  {
    name: "nv_inference_queue_duration_us",
    help: "Cumulative inference queuing duration in microseconds (includes cached requests)",
    value: (statistics) => statistics.queue.ms * US_PER_MS,
  },
  {
    name: "nv_inference_compute_input_duration_us",
    help: "Cumulative compute input duration in microseconds (does not include cached requests)",
    value: (statistics) => statistics.computeInput.ms * US_PER_MS,
  },
  {
    name: "nv_inference_compute_infer_duration_us",
    help: "Cumulative compute inference duration in microseconds (does not include cached requests)",
    value: (statistics) => statistics.computeInfer.ms * US_PER_MS,
  },
  {
    name: "nv_inference_compute_output_duration_us",
    help: "Cumulative inference compute output duration in microseconds (does not include cached requests)",
    value: (statistics) => statistics.computeOutput.ms * US_PER_MS,
  },
];

/** What the process itself used. */
export interface ProcessUsage {
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

/** Everything one scrape reads. */
export interface Scrape {
  readonly models: readonly LoadedModel[];
  /** Absent off Linux or with `--allow-cpu-metrics=false`. */
  readonly machine: MachineUsage | undefined;
  readonly process: ProcessUsage;
  /** Absent without `--plan`. */
  readonly planState?: PlanState;
}

/** The text of a scrape; labels are model, version and `_<tag>` for every metric_tags entry. */
export function renderMetrics(scrape: Scrape): Promise<string> {
  const registry = new Registry();
  addModelMetrics(registry, scrape.models);
  addCascadeMetrics(registry, scrape.models);
  addInstanceMetrics(registry, scrape.models);
  if (scrape.machine !== undefined) addMachineMetrics(registry, scrape.machine);
  if (scrape.planState !== undefined) addPlanState(registry, scrape.planState);
  gauge(
    registry,
    "process_resident_memory_bytes",
    "Resident memory of the server process in bytes",
    scrape.process.residentBytes,
  );
  const cpu = new Counter({
    name: "process_cpu_seconds_total",
    help: "User and system CPU time of the server process in seconds",
    registers: [registry],
  });
  cpu.inc(scrape.process.cpuSeconds);
  return registry.metrics();
}

/** `GET /metrics`. */
export function metricsRoute(scrape: () => Promise<Scrape>): HttpRoute {
  return {
    path: "/metrics",
    answer: async () => ({
      status: 200,
      contentType: "text/plain; version=0.0.4; charset=utf-8",
      body: await renderMetrics(await scrape()),
    }),
  };
}

/** RSS and CPU time of this process. */
export function processUsage(): ProcessUsage {
  const { user, system } = process.cpuUsage();
  return { residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6 };
}

function addPlanState(registry: Registry, current: PlanState): void {
  const states = new Gauge({
    name: "hybridserve_placement_plan_state",
    help: "1 for the state of the plan: ok, stale or invalid (the one before serves), default (none serves)",
    labelNames: ["state"],
    registers: [registry],
  });
  for (const state of PLAN_STATES) states.set({ state }, state === current ? 1 : 0);
}

function addModelMetrics(registry: Registry, models: readonly LoadedModel[]): void {
  const labelled = models.map((loaded) => ({ loaded, labels: labelsOf(loaded) }));
  const labelNames = [...new Set(labelled.flatMap(({ labels }) => Object.keys(labels)))];
  for (const { name, help, value } of MODEL_COUNTERS) {
    const counter = new Counter({ name, help, labelNames, registers: [registry] });
    for (const { loaded, labels } of labelled) counter.inc(labels, value(loaded.model.statistics));
  }
  const failures = new Counter({
    name: "nv_inference_request_failure",
    help: "Number of failed inference requests, all batch sizes",
    labelNames: [...labelNames, "reason"],
    registers: [registry],
  });
  const pending = new Gauge({
    name: "nv_inference_pending_request_count",
    help: "Instantaneous number of pending requests awaiting execution per-model",
    labelNames,
    registers: [registry],
  });
  const loadSeconds = new Gauge({
    name: "nv_model_load_duration_secs",
    help: "Model load time in seconds",
    labelNames,
    registers: [registry],
  });
  for (const { loaded, labels } of labelled) {
    const { statistics } = loaded.model;
    for (const reason of FAILURE_REASONS) failures.inc({ ...labels, reason }, statistics.failures[reason]);
    pending.set(labels, statistics.pendingRequestCount);
    loadSeconds.set(labels, loaded.loadSeconds);
  }
}

function addMachineMetrics(registry: Registry, machine: MachineUsage): void {
  gauge(registry, "nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]", machine.utilization);
  gauge(registry, "nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes", machine.memory.totalBytes);
  gauge(registry, "nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes", machine.memory.usedBytes);
}

function gauge(registry: Registry, name: string, help: string, value: number): void {
  new Gauge({ name, help, registers: [registry] }).set(value);
}
