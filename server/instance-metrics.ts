/** Metrics of instances that can be lost (docs/metrics.md), read from their reports at scrape. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { LoadedModel } from "../model-repo/repository-types.ts";
import { BatchedModel } from "../scheduler/batched-model.ts";
import type { InstanceReport } from "../scheduler/instance.ts";
import { labelsOf } from "./metric-labels.ts";

const STATES = ["ready", "restarting", "down"] as const satisfies readonly InstanceReport["state"][];

const COUNTERS: readonly {
  readonly name: string;
  readonly help: string;
  readonly key: "crashes" | "hangs" | "restarts";
}[] = [
  {
    name: "hybridserve_instance_crashes_total",
    help: "How often an instance ended without being asked to, hangs and failed starts included",
    key: "crashes",
  },
  { name: "hybridserve_instance_hangs_total", help: "Runs that took too long and were stopped", key: "hangs" },
  {
    name: "hybridserve_instance_restarts_total",
    help: "How often a new instance took the place of one that was lost",
    key: "restarts",
  },
];

/** A series an instance and counter; the label names are `instance` and `device` beside the model's. */
export function addInstanceMetrics(registry: Registry, models: readonly LoadedModel[]): void {
  const lines = models.flatMap((loaded) =>
    (loaded.model instanceof BatchedModel ? loaded.model.instanceReports : []).map((report) => ({
      report,
      labels: { ...labelsOf(loaded), instance: report.name, device: report.device },
    })),
  );
  if (lines.length === 0) return;
  const labelNames = [...new Set(lines.flatMap(({ labels }) => Object.keys(labels)))];
  const state = new Gauge({
    name: "hybridserve_instance_state",
    help: "1 for the state of the instance: ready, restarting or down, 0 for the others",
    labelNames: [...labelNames, "state"],
    registers: [registry],
  });
  for (const { report, labels } of lines) {
    for (const each of STATES) state.set({ ...labels, state: each }, report.state === each ? 1 : 0);
  }
  for (const { name, help, key } of COUNTERS) {
    const counter = new Counter({ name, help, labelNames, registers: [registry] });
    for (const { report, labels } of lines) counter.inc(labels, report[key]);
  }
}
