/** From a made plan to what its report shows. */
import { type Fleet, meanServiceMs } from "../../planner/fleet.ts";
import type { MadePlan } from "../../planner/plan/make-plan.ts";
import { type PlanWorkload, simulatedAt } from "../../planner/plan/workload.ts";
import { simulate } from "../../planner/simulate/simulate.ts";
import type { PlanFile } from "../../proto/files/plan-file.ts";
import type { LastLevelOnly, PlanReportData, StageRun } from "../report/plan-data.ts";

export interface ReportSource {
  readonly plan: PlanFile;
  readonly made: MadePlan;
  readonly workload: PlanWorkload;
  readonly lastLevelOnly: LastLevelOnly | null;
  readonly hybridserveVersion: string;
}

/** Requests that the picture of batches over time begins after, and how many it shows. */
const GANTT_AFTER = 200;
const GANTT_REQUESTS = 60;

export function planReportData({
  plan,
  made,
  workload,
  lastLevelOnly,
  hybridserveVersion,
}: ReportSource): PlanReportData {
  const { fleet, predicted } = made;
  const usedBytes = usedBytesOf(fleet);
  const indexOf = new Map(fleet.devices.map((device, i) => [device.id, i]));
  return {
    plan,
    hybridserveVersion,
    warnings: made.warnings,
    deviceLoads: plan.devices.map((device) => {
      const index = indexOf.get(device.id) ?? -1;
      const utilisation = predicted.deviceUtilisation[index] ?? 0;
      const watts = plan.classes.find(({ name }) => name === device.class)?.watts ?? null;
      return {
        utilisation,
        usedBytes: usedBytes.get(index) ?? 0,
        watts: watts === null ? null : watts.idle + (watts.active - watts.idle) * utilisation,
      };
    }),
    latency: { ...predicted.latencyMs, bars: predicted.latencyHistogram },
    runs: recordRuns(fleet, workload, made.predictedRate),
    lastLevelOnly,
  };
}

/** By device. */
function usedBytesOf({ levels, devices, replicas }: Fleet): Map<number, number> {
  const used = new Map<number, number>();
  for (const { level, stage, device } of replicas) {
    const bytes = levels[level]?.stages[stage]?.memoryBytes.get(devices[device]?.class ?? "") ?? 0;
    used.set(device, (used.get(device) ?? 0) + bytes);
  }
  return used;
}

/** A batch is drawn as long as one of its size takes on average there: the simulation tells when it starts. */
function recordRuns(fleet: Fleet, workload: PlanWorkload, rate: number): StageRun[] {
  const runs: StageRun[] = [];
  const fromRow = GANTT_AFTER * workload.rowsPerRequest;
  const toRow = fromRow + GANTT_REQUESTS * workload.rowsPerRequest;
  simulate(fleet, simulatedAt(workload, rate), {
    requests: 2 * (GANTT_AFTER + GANTT_REQUESTS),
    observer: ({ level, stage, replica, startMs, rows }) => {
      if (!rows.some((row) => row >= fromRow && row < toRow)) return;
      const device = fleet.devices[fleet.replicas[replica]?.device ?? 0];
      const service = fleet.levels[level]?.stages[stage]?.service.get(device?.class ?? "");
      if (service === undefined) return;
      runs.push({
        placement: replica,
        startMs,
        endMs: startMs + meanServiceMs(service, rows.length),
        rows: rows.length,
      });
    },
  });
  return runs;
}
