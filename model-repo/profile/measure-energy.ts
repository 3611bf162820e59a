/** Energy of a run above the idle device, by meters that count everything: a long window of runs, and one without. */

import type { MeasuredEnergy } from "../../proto/files/profile-file.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import type { Clock } from "../../scheduler/clock.ts";
import type { ModelInstance } from "../../scheduler/instance.ts";
import { type EnergyMeter, sourceOf, sumJoules } from "../meters/energy-meter.ts";

export interface EnergyWindow {
  /** Not empty. */
  readonly meters: readonly EnergyMeter[];
  /** Watts with the models loaded and nothing running, of all meters together. */
  readonly idleWatts: number;
  readonly instances: readonly ModelInstance[];
  readonly batches: readonly (readonly InferenceRequest[])[];
  readonly clock: Clock;
}

const SHORTEST_WINDOW_MS = 2_000;
/** A window's ends are off by up to a tick of the counter each. */
const TICKS = 20;

/** Watts over a window in which nobody runs anything. */
export async function measureIdleWatts(meters: readonly EnergyMeter[], clock: Clock): Promise<number> {
  const startedMs = clock.now();
  const used = joulesFromNow(meters, clock);
  await new Promise<void>((resolve) => clock.at(startedMs + windowMs(meters), resolve));
  return used() / ((clock.now() - startedMs) / 1000);
}

/**
 * Runs back to back on all instances and shares out what was used above idle. null where that is not more than nothing:
 * the runs are lost in what else the machine does.
 */
export async function measureEnergy(window: EnergyWindow): Promise<MeasuredEnergy | null> {
  const { meters, idleWatts, instances, batches, clock } = window;
  const startedMs = clock.now();
  const used = joulesFromNow(meters, clock);
  const untilMs = startedMs + windowMs(meters);
  let runs = 0;
  const lanes = await Promise.allSettled(
    instances.map(async (instance, lane) => {
      for (let i = lane; clock.now() < untilMs; i++) {
        await instance.execute(batches[i % batches.length] ?? []);
        runs++;
      }
    }),
  );
  const failed = lanes.find((lane) => lane.status === "rejected");
  if (failed !== undefined) {
    used();
    throw failed.reason;
  }
  const joules = (used() - (idleWatts * (clock.now() - startedMs)) / 1000) / runs;
  return joules > 0 ? { joules, source: sourceOf(meters) } : null;
}

/** Starts counting; the returned function tells the joules since and ends it. Meters that add up power are read meanwhile. */
function joulesFromNow(meters: readonly EnergyMeter[], clock: Clock): () => number {
  const integrals = meters.filter(({ method }) => method === "power-integral");
  const tickMs = Math.min(...integrals.map((meter) => meter.tickMs));
  const before = sumJoules(meters);
  let cancel = (): void => undefined;
  let failure: unknown;
  const tick = (): void => {
    try {
      for (const meter of integrals) meter.readJoules();
    } catch (error) {
      failure = error;
      return;
    }
    cancel = clock.at(clock.now() + tickMs, tick);
  };
  if (integrals.length > 0) tick();
  return () => {
    cancel();
    if (failure !== undefined) throw failure;
    return sumJoules(meters) - before;
  };
}

function windowMs(meters: readonly EnergyMeter[]): number {
  return Math.max(SHORTEST_WINDOW_MS, ...meters.map(({ tickMs }) => tickMs * TICKS));
}
