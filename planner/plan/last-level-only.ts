/** What the same devices do when every request goes to the last level: the honest comparison, with the same batching. */
import { simulate } from "../simulate/simulate.ts";
import type { SimulationResult } from "../simulate/simulation.ts";
import { lastLevelOnly } from "../simulate/ways.ts";
import { type MadePlan, makePlan, type PlanRequest, type PlanTools } from "./make-plan.ts";
import { simulatedAt } from "./workload.ts";

export interface LastLevelPlan {
  readonly made: MadePlan;
  /** At its highest rate, or the workload's where that is lower. */
  readonly result: SimulationResult;
  readonly rate: number;
}

/** undefined: the last level alone cannot be placed for this workload. */
export async function planLastLevel(request: PlanRequest, tools: PlanTools): Promise<LastLevelPlan | undefined> {
  const profile = request.profiles.at(-1);
  if (profile === undefined || request.profiles.length === 1) return undefined;
  const workload = { ...request.workload, paths: [[1]], routing: lastLevelOnly(1), shadowShare: 0 };
  try {
    const made = await makePlan({ ...request, workload, profiles: [profile], gearPoints: [] }, tools);
    const { seed, unusedDevices, simulatedRequests: requests } = request;
    const most = made.capacity;
    if (most === undefined) return undefined;
    const rate = Math.min(most.rate, workload.rate);
    return {
      made,
      rate: most.rate,
      result: simulate(made.fleet, simulatedAt(workload, rate), { requests, seed, unusedDevices }),
    };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "FAILED_PRECONDITION") return undefined;
    throw error;
  }
}
