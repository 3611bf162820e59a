/** A workload with the dataflow it has: what the plan is made for, and what simulations of it draw rows from. */
import type { Arrivals, LatencyObjective } from "../../proto/files/workload-file.ts";
import { reachOf } from "../../proto/files/workload-file.ts";
import type { ArrivalProcess } from "../simulate/arrivals.ts";
import type { SimulatedWorkload } from "../simulate/simulation.ts";
import type { Routing } from "../simulate/ways.ts";

export interface PlanWorkload {
  /** Requests a second. */
  readonly rate: number;
  /** As the file says, for the plan; the simulator's own kind with it. */
  readonly arrivals: Arrivals;
  readonly process: ArrivalProcess;
  /** Coefficient of variation of the gaps between arrivals. */
  readonly arrivalCv: number;
  readonly rowsPerRequest: number;
  readonly slo: LatencyObjective;
  readonly paths: readonly (readonly number[])[];
  readonly routing: Routing;
  readonly shadowShare: number;
}

/**
 * Share of all rows that enter each level, rows that shadow early answers at the last level included (hybridserve.md 3.3:
 * one per cent of the rows at a reach of 4.8 % is a fifth more work for the last level).
 */
export function loadedReach({ paths, shadowShare }: Pick<PlanWorkload, "paths" | "shadowShare">): number[] {
  const reach = reachOf(paths);
  const last = reach.length - 1;
  return reach.map((share, k) => (k === last && last > 0 ? share + shadowShare * (1 - share) : share));
}

/** At this rate, as the simulator takes it. */
export function simulatedAt(
  workload: PlanWorkload,
  ratePerSecond: number,
  routing = workload.routing,
): SimulatedWorkload {
  return {
    ratePerSecond,
    arrivals: workload.process,
    rowsPerRequest: workload.rowsPerRequest,
    sloMs: workload.slo.latencyMs,
    routing,
    shadowShare: workload.shadowShare,
  };
}
