/**
 * How long a level's requests wait for others to share a batch: chosen by simulation, level by level. Waiting makes
 * batches larger, which costs latency and may save energy; where nothing is saved nobody waits.
 */
import type { PlanObjective } from "../../proto/files/plan-file.ts";
import type { LatencyObjective } from "../../proto/files/workload-file.ts";
import type { Fleet, Level } from "../fleet.ts";
import { simulate } from "../simulate/simulate.ts";
import type { SimulatedWorkload, SimulationResult } from "../simulate/simulation.ts";
import type { CapacityOptions } from "./capacity.ts";

/** Shares of the latency objective that a level may wait. */
const DELAY_SHARES = [0, 0.01, 0.02, 0.05, 0.1];
/** A gain within the simulator's noise is none. */
const NOISE = 0.01;

/** The fleet with the delays that are best for the objective and keep the latency objective where it was kept. */
export function tuneQueueDelays(
  fleet: Fleet,
  workload: SimulatedWorkload,
  slo: LatencyObjective,
  objective: PlanObjective,
  { requests, seed, unusedDevices }: CapacityOptions,
): Fleet {
  const run = (candidate: Fleet): SimulationResult => simulate(candidate, workload, { requests, seed, unusedDevices });
  let best = fleet;
  let bestResult = run(fleet);
  for (const k of fleet.levels.keys()) {
    if ((fleet.levels[k]?.batch.maxBatchSize ?? 1) === 1) continue;
    for (const delayShare of DELAY_SHARES) {
      const candidate = withDelay(best, k, delayShare * slo.latencyMs);
      const result = run(candidate);
      if (!isBetter(result, bestResult, slo, objective)) continue;
      best = candidate;
      bestResult = result;
    }
  }
  return best;
}

function withDelay(fleet: Fleet, level: number, maxQueueDelayMs: number): Fleet {
  const levels = fleet.levels.map(
    (each, k): Level => (k === level ? { ...each, batch: { ...each.batch, maxQueueDelayMs } } : each),
  );
  return { ...fleet, levels };
}

/** In time before cheap before fast. */
function isBetter(
  result: SimulationResult,
  than: SimulationResult,
  { percentile }: LatencyObjective,
  objective: PlanObjective,
): boolean {
  const inTime = (each: SimulationResult) => Math.min(each.goodput, percentile);
  if (inTime(result) !== inTime(than)) return inTime(result) > inTime(than);
  const joules = result.energy?.joulesPerRequest;
  const before = than.energy?.joulesPerRequest;
  if (objective === "energy" && joules !== undefined && before !== undefined) return joules < before * (1 - NOISE);
  return result.latencyMs.mean < than.latencyMs.mean * (1 - NOISE);
}
