/** What the report of a plan shows: plain values, so that `plan`, `simulate` and tests can make one. */
import type { PlanFile } from "../../proto/files/plan-file.ts";

export interface PlanReportData {
  readonly plan: PlanFile;
  readonly hybridserveVersion: string;
  /** What the reader should know before anything else; empty: nothing. */
  readonly warnings: readonly string[];
  /** Simulated, in the order of `plan.devices`. */
  readonly deviceLoads: readonly DeviceLoad[];
  readonly latency: LatencyHistogram;
  /** A stretch of the simulation; empty: none was recorded. */
  readonly runs: readonly StageRun[];
  /** The same devices serving the last level alone; null: not asked for, or it cannot serve this. */
  readonly lastLevelOnly: LastLevelOnly | null;
}

export interface DeviceLoad {
  /** Share of the time in which something ran. */
  readonly utilisation: number;
  readonly usedBytes: number;
  /** null: the power of its class is not known. */
  readonly watts: number | null;
}

export interface LatencyHistogram {
  readonly bars: readonly { readonly fromMs: number; readonly toMs: number; readonly count: number }[];
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** A batch on a copy of a stage. */
export interface StageRun {
  /** Index into `plan.placements`. */
  readonly placement: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly rows: number;
}

export interface LastLevelOnly {
  /** Requests a second within the objective. */
  readonly throughput: number;
  readonly devices: number;
  readonly watts: number | null;
  readonly joulesPerRequest: number | null;
}
