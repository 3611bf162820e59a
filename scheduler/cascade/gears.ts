/** Load gears of a cascade: which one the load asks for, and how long it stays. Pure. */

/** What a list of gears goes by: the last level's queue delay in milliseconds, or requests a second at the cascade. */
export type LoadMeasure = "queueDelayMs" | "arrivalsPerSecond";

/** The load now, by each measure. */
export type Load = Readonly<Record<LoadMeasure, number>>;

/** `Point`: its name, or the point itself. */
export interface GearTable<Point = string> {
  readonly by: LoadMeasure;
  /** By rising threshold; the first may be 0. */
  readonly gears: readonly Gear<Point>[];
}

/** From this load on, in the unit of the table's measure, the point serves. */
export interface Gear<Point = string> {
  readonly from: number;
  readonly point: Point;
}

/** Load chooses no point. */
export const NO_GEARS: GearTable<never> = { by: "queueDelayMs", gears: [] };

/** The gear in use, 0 for none and i for gears[i - 1], and since when. */
export interface GearState {
  readonly gear: number;
  readonly sinceMs: number;
}

/** How long a gear is in use at least. */
export const LEAST_GEAR_MS = 1_000;

/**
 * A gear is left below this share of its threshold. Queue delay falls because of the gear, so that half of it may be all
 * the gear's work. The arrival rate is the same in every gear: what falls is the load, and a tenth only keeps the noise
 * of the estimate (some 4 % of 150 a second) from changing gears. Half would keep the cheaper point long after the load
 * that it was planned for.
 */
const RELEASE_SHARE: Load = { queueDelayMs: 0.5, arrivalsPerSecond: 0.9 };

/**
 * The gear for the next request. By queue delay: up at once, since requests are waiting; down one gear at a time, to see
 * what each does to the queue. By arrival rate: straight to the gear of the rate, up too not before the gear in use was
 * so for a while, so that a burst changes no gear to and fro.
 */
export function nextGear({ by, gears }: GearTable<unknown>, state: GearState, load: Load, nowMs: number): GearState {
  const isHeld = nowMs - state.sinceMs < LEAST_GEAR_MS;
  const wanted = gearAt(gears, load[by]);
  if (wanted > state.gear) {
    return isHeld && by === "arrivalsPerSecond" ? state : { gear: wanted, sinceMs: nowMs };
  }
  const kept = gearAt(gears, load[by] / RELEASE_SHARE[by]);
  if (isHeld || kept >= state.gear) return state;
  return { gear: by === "arrivalsPerSecond" ? kept : state.gear - 1, sinceMs: nowMs };
}

function gearAt(gears: readonly Gear<unknown>[], load: number): number {
  return gears.findLastIndex((gear) => load >= gear.from) + 1;
}
