/**
 * The gear table: for every arrival rate the cheapest operating point that the loaded placement serves within the
 * objective (CascadeServe's gear plan, arXiv 2406.14424, with certified points only). Thresholds change online, the
 * placement stays.
 */
import type { Gear } from "../../proto/files/plan-file.ts";
import type { Fleet } from "../fleet.ts";
import { simulate } from "../simulate/simulate.ts";
import type { Routing } from "../simulate/ways.ts";
import { type CapacityOptions, capacity } from "./capacity.ts";
import { type PlanWorkload, simulatedAt } from "./workload.ts";

/** A point that may serve: certified, or chosen by the user. */
export interface GearPoint {
  readonly name: string;
  readonly routing: Routing;
  /** Per row, in the cascade's unit; decides where the power of the devices is not known. */
  readonly cost: number;
}

interface Servable extends GearPoint {
  readonly mostRate: number;
}

/** The server's estimate of the rate lags by seconds: a gear is changed before its point is at its end. */
const HEADROOM = 0.95;

/** By rising rate, without gaps; empty where no point can be served. Neighbouring ranges of one point are one gear. */
export function gearTable(
  fleet: Fleet,
  workload: PlanWorkload,
  points: readonly GearPoint[],
  options: CapacityOptions,
): Gear[] {
  const servable = points.flatMap((point): Servable[] => {
    const found = capacity(fleet, workload, options, point.routing);
    return found === undefined ? [] : [{ ...point, mostRate: found.rate * HEADROOM }];
  });
  const gears: Gear[] = [];
  let fromRate = 0;
  for (const toRate of [...new Set(servable.map((point) => point.mostRate))].sort((a, b) => a - b)) {
    const candidates = servable
      .filter((point) => point.mostRate >= toRate)
      .map((point) => ({ point, joules: joulesPerRequest(fleet, workload, point, (fromRate + toRate) / 2, options) }));
    const cheapest = candidates.reduce((best, each) => (isCheaper(each, best) ? each : best));
    const before = gears.at(-1);
    if (before?.operatingPoint === cheapest.point.name) gears[gears.length - 1] = { ...before, toRate };
    else gears.push({ operatingPoint: cheapest.point.name, fromRate, toRate, joulesPerRequest: cheapest.joules });
    fromRate = toRate;
  }
  return gears;
}

interface Costed {
  readonly point: Servable;
  /** null: power is not known. */
  readonly joules: number | null;
}

/** Differences within the simulator's noise are decided by the points' own costs. */
function isCheaper(a: Costed, b: Costed): boolean {
  if (a.joules !== null && b.joules !== null && Math.abs(a.joules - b.joules) > 0.01 * b.joules) {
    return a.joules < b.joules;
  }
  return a.point.cost < b.point.cost;
}

function joulesPerRequest(
  fleet: Fleet,
  workload: PlanWorkload,
  point: GearPoint,
  rate: number,
  { requests, seed, unusedDevices }: CapacityOptions,
): number | null {
  const result = simulate(fleet, simulatedAt(workload, rate, point.routing), { requests, seed, unusedDevices });
  return result.energy?.joulesPerRequest ?? null;
}
