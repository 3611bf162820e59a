/**
 * Which operating point serves a request. In this order: what the request asks for; after a drift alarm a safer point;
 * under load a cheaper one, as far as drift allows; else the cascade's own.
 */
import { InferenceError } from "../../proto/errors.ts";
import type { OperatingPoint } from "../../proto/files/cascade-file.ts";
import { type Gear, type GearState, type GearTable, type Load, nextGear } from "./gears.ts";

/** What an alarm does: every row to the last level, the safest point there is, or only log and metric. */
export const ON_DRIFT = ["last_level", "safer", "ignore"] as const;
export type OnDrift = (typeof ON_DRIFT)[number];

export interface Signals extends Load {
  /** The point that the request named, already checked. */
  readonly requested: OperatingPoint | undefined;
  readonly drifted: boolean;
}

/** What the choice goes by, beside the signals. */
export interface PointPolicy {
  readonly base: OperatingPoint;
  /** Every row to the last level. */
  readonly lastLevelOnly: OperatingPoint;
  readonly onDrift: OnDrift;
  /** Points that an alarm may choose. */
  readonly saferPoints: readonly OperatingPoint[];
  readonly gears: GearTable<OperatingPoint>;
}

export interface PointChoice {
  readonly point: OperatingPoint;
  readonly reason: "request" | "drift" | "load" | "default";
  readonly gearState: GearState;
}

/** The point for one request; a pure function. */
export function choosePoint(policy: PointPolicy, state: GearState, signals: Signals, nowMs: number): PointChoice {
  const gearState = nextGear(policy.gears, state, signals, nowMs);
  if (signals.requested !== undefined) return { point: signals.requested, reason: "request", gearState };
  const drifted = signals.drifted && policy.onDrift !== "ignore";
  const allowed = drifted ? afterDrift(policy) : policy.base;
  const gear = policy.gears.gears[gearState.gear - 1]?.point;
  if (gear !== undefined && isCheaper(gear, allowed) && (!drifted || isAsSafe(gear, allowed, policy))) {
    return { point: gear, reason: "load", gearState };
  }
  return { point: allowed, reason: drifted ? "drift" : "default", gearState };
}

/** The safest point that is safer than the base; the last level where none is known to be. */
function afterDrift(policy: PointPolicy): OperatingPoint {
  if (policy.onDrift === "last_level") return policy.lastLevelOnly;
  let best = policy.base;
  for (const point of policy.saferPoints) if (disagreement(point) < disagreement(best)) best = point;
  return best === policy.base ? policy.lastLevelOnly : best;
}

/** Nothing is as safe as the last level alone. */
function isAsSafe(point: OperatingPoint, than: OperatingPoint, policy: PointPolicy): boolean {
  return than !== policy.lastLevelOnly && disagreement(point) <= disagreement(than);
}

/** Unknown costs count as dear, so that a point without figures may be left for a gear, and is no gear itself. */
function isCheaper(point: OperatingPoint, than: OperatingPoint): boolean {
  return (
    (point.expected?.cost.value ?? Number.POSITIVE_INFINITY) < (than.expected?.cost.value ?? Number.POSITIVE_INFINITY)
  );
}

/** Points without figures may do anything. */
function disagreement(point: OperatingPoint): number {
  return point.expected?.disagreement ?? Number.POSITIVE_INFINITY;
}

export interface ControllerOptions {
  /** Begins error texts, as in `cascade 'fashion'`. */
  readonly where: string;
  readonly points: readonly OperatingPoint[];
  readonly selectable: ReadonlySet<string>;
  readonly operatingPoint: string;
  readonly lastLevelOnly: OperatingPoint;
  readonly onDrift: OnDrift;
  readonly gears: GearTable;
}

/** Owns the point in use and the gear. */
export class PointController {
  readonly #options: ControllerOptions;
  readonly #gears: PointPolicy["gears"];
  #policy: PointPolicy;
  #gearState: GearState = { gear: 0, sinceMs: Number.NEGATIVE_INFINITY };

  /** Throws INVALID_ARGUMENT on a point that the file does not have, and on a gear whose cost is not known. */
  constructor(options: ControllerOptions) {
    this.#options = options;
    const { by, gears } = options.gears;
    const rising = [...gears].sort((a, b) => a.from - b.from);
    this.#gears = { by, gears: rising.map((gear) => ({ from: gear.from, point: this.#gearPoint(gear) })) };
    this.#policy = this.#policyOf(this.#find(options.operatingPoint));
  }

  /** The point of requests that name none, while neither drift nor load changes it. */
  get operatingPoint(): OperatingPoint {
    return this.#policy.base;
  }

  /** The gear in use: 0 for none, i for the i-th threshold. */
  get gear(): number {
    return this.#gearState.gear;
  }

  /** Throws INVALID_ARGUMENT where there is no such point, or it may not be chosen. */
  setOperatingPoint(name: string): void {
    this.#policy = this.#policyOf(this.selectable(name));
  }

  /** The point of this name, if it may be chosen at run time; throws INVALID_ARGUMENT, the text after `prefix`, if not. */
  selectable(name: string, prefix = ""): OperatingPoint {
    const { where, points, selectable } = this.#options;
    const point = points.find((candidate) => candidate.name === name);
    if (point !== undefined && selectable.has(name)) return point;
    const problem =
      point === undefined
        ? `no operating point '${name}'`
        : `the operating point '${name}', but it is uncertified: name it in the model's configuration or start ` +
          "the server with --allow-uncertified";
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${prefix}${where} has ${problem}; a request may choose: ${[...selectable].join(", ")}`,
    );
  }

  choose(signals: Signals, nowMs: number): PointChoice {
    const choice = choosePoint(this.#policy, this.#gearState, signals, nowMs);
    this.#gearState = choice.gearState;
    return choice;
  }

  #policyOf(base: OperatingPoint): PointPolicy {
    const { points, selectable, lastLevelOnly, onDrift } = this.#options;
    const saferPoints = points.filter((point) => selectable.has(point.name));
    return { base, lastLevelOnly, onDrift, saferPoints, gears: this.#gears };
  }

  #find(name: string): OperatingPoint {
    const { where, points } = this.#options;
    const point = points.find((candidate) => candidate.name === name);
    if (point !== undefined) return point;
    const names = points.map((candidate) => candidate.name).join(", ");
    throw new InferenceError("INVALID_ARGUMENT", `${where} has no operating point '${name}'; there are: ${names}`);
  }

  #gearPoint(gear: Gear): OperatingPoint {
    const point = this.#find(gear.point);
    if (point.expected !== null) return point;
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${this.#options.where}: the gear '${gear.point}' has no expected cost, so nobody knows that it is cheaper; ` +
        "calibrate it, or fill in 'expected'",
    );
  }
}
