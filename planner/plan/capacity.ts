/** How much a fleet takes: the highest rate at which the latency objective still holds, by simulation. */
import type { Fleet } from "../fleet.ts";
import { saturationRate } from "../simulate/saturation.ts";
import { simulate } from "../simulate/simulate.ts";
import type { SimulationResult } from "../simulate/simulation.ts";
import { type Routing, reachOfRouting } from "../simulate/ways.ts";
import { type PlanWorkload, simulatedAt } from "./workload.ts";

export interface Capacity {
  /** Requests a second. */
  readonly rate: number;
  /** At that rate. */
  readonly result: SimulationResult;
}

export interface CapacityOptions {
  readonly requests: number;
  readonly seed: number;
  readonly unusedDevices: "off" | "bare";
}

/** Rates are known to this share of themselves. */
const PRECISION = 0.01;
/** A fleet that is a little too slow shows it once requests have piled up for longer than the objective. */
const LEAST_OBJECTIVES = 100;
/** About a second of one core. */
const MOST_REQUESTS = 1_000_000;

/** Whether enough requests are answered in time, and as many as arrive are answered. */
export function holds(result: SimulationResult, { percentile }: PlanWorkload["slo"], rate: number): boolean {
  // In a short run fewer requests than the rate may have arrived by chance.
  return result.goodput >= percentile && result.throughput >= 0.97 * Math.min(rate, result.offeredRate);
}

/** undefined: not even a hundredth of the rate at which the busiest stage never rests is served in time. */
export function capacity(
  fleet: Fleet,
  workload: PlanWorkload,
  { requests, seed, unusedDevices }: CapacityOptions,
  routing: Routing = workload.routing,
): Capacity | undefined {
  const at = (rate: number): SimulationResult => {
    const least = Math.ceil((LEAST_OBJECTIVES * rate * workload.slo.latencyMs) / 1000);
    return simulate(fleet, simulatedAt(workload, rate, routing), {
      requests: Math.min(MOST_REQUESTS, Math.max(requests, least)),
      seed,
      unusedDevices,
    });
  };
  // Of these very ways: another point of the cascade may serve many times the rate of the one that is planned for.
  const mostRate = saturationRate(fleet, reachOfRouting(routing, fleet.levels.length), workload.rowsPerRequest);
  let low = mostRate / 100;
  let best = at(low);
  if (!holds(best, workload.slo, low)) return undefined;
  for (let high = mostRate; high - low > PRECISION * low; ) {
    const middle = (low + high) / 2;
    const result = at(middle);
    if (holds(result, workload.slo, middle)) {
      low = middle;
      best = result;
    } else {
      high = middle;
    }
  }
  return { rate: low, result: best };
}
