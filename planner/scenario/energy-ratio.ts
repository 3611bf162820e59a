/**
 * Energy of a last-level-only fleet over that of a cascade, in closed form (hybridserve.md 3.5):
 *
 *     R = [N_b P_idle + lambda g_b (P_active - P_idle)] / [N_h P_idle + lambda sum_k a_k g_k (P_active - P_idle)]
 *
 * with g = devices / rate of a replica (device seconds a request) and N = sum_k max(1, ceil(lambda a_k / (rho mu_k))) S_k.
 * It assumes devices of one class, each for one stage, batches of one size whatever the load, and no waiting; simulate
 * where that does not hold. The ratio is an identity of its inputs: it says nothing that they do not.
 */
import { InferenceError } from "../../proto/errors.ts";

/** A level as the formula sees it. */
export interface RatioLevel {
  /** Devices that one replica takes (S_k). */
  readonly devices: number;
  /** Requests a second of one replica that is always busy (mu_k). */
  readonly ratePerSecond: number;
  /** Share of all requests that enter the level (a_k), shadows left out. */
  readonly reach: number;
}

export interface RatioConditions {
  /** Smallest first; the last one is what the baseline serves alone. */
  readonly levels: readonly RatioLevel[];
  /** Requests a second (lambda); Infinity: the limit of large load, where whole replicas do not show. */
  readonly ratePerSecond: number;
  /** No device is planned to be busier than this share of the time (rho). */
  readonly utilisationCap: number;
  readonly watts: RatioWatts;
  /** Devices of the larger of both fleets that the other one does not need: `off` (or used elsewhere), or at bare watts. */
  readonly unusedDevices: "off" | "bare";
  /** Share of the requests answered early that the last level is asked again. */
  readonly shadowShare: number;
  /** Rate of a last-level replica in the baseline over its rate in the cascade: 1 is equal batching, below 1 less of it. */
  readonly baselineGain: number;
}

export interface RatioWatts {
  /** On, nothing loaded. */
  readonly bare: number;
  /** A model is loaded (P_ctx). */
  readonly idle: number;
  /** Always busy (P_max). */
  readonly active: number;
}

export interface EnergyRatio {
  readonly baseline: FleetEnergy;
  readonly cascade: FleetEnergy;
  readonly ratio: number;
}

export interface FleetEnergy {
  /** Replicas of each level; Infinity in the limit. */
  readonly replicas: readonly number[];
  /** In use; Infinity in the limit. */
  readonly devices: number;
  /** Of all devices that are on; Infinity in the limit. */
  readonly watts: number;
  readonly joulesPerRequest: number;
  /** Part of it that running the models adds. */
  readonly dynamicJoulesPerRequest: number;
}

/** Throws INVALID_ARGUMENT for conditions that make no sense. */
export function energyRatio(conditions: RatioConditions): EnergyRatio {
  const { levels, unusedDevices, watts, shadowShare, baselineGain } = conditions;
  validate(conditions);
  const last = levels.at(-1);
  if (last === undefined) throw invalid("there is no level");
  const alone = { ...last, ratePerSecond: last.ratePerSecond * baselineGain, reach: 1 };
  const baseline = fleetNeeds([alone], conditions);
  const shadowed = levels.map((level, k) =>
    k > 0 && k === levels.length - 1 ? { ...level, reach: level.reach + shadowShare * (1 - level.reach) } : level,
  );
  const cascade = fleetNeeds(shadowed, conditions);
  const bareWatts = (own: FleetNeeds, other: FleetNeeds): number =>
    unusedDevices === "off" ? 0 : Math.max(0, other.devices - own.devices) * watts.bare;
  const energies = {
    baseline: energyOf(baseline, bareWatts(baseline, cascade), conditions),
    cascade: energyOf(cascade, bareWatts(cascade, baseline), conditions),
  };
  return { ...energies, ratio: energies.baseline.joulesPerRequest / energies.cascade.joulesPerRequest };
}

const HALVINGS = 100;

/**
 * The largest reach of the last level at which the ratio is still `ratio`; null: not even at a reach of 0. `reachAt`
 * gives the reach of every level from that of the last, none falling as it rises: the ratio then never rises with it.
 */
export function reachFor(
  ratio: number,
  conditions: RatioConditions,
  reachAt: (lastReach: number) => readonly number[],
): number | null {
  const isEnough = (lastReach: number): boolean => {
    const reach = reachAt(lastReach);
    const levels = conditions.levels.map((level, k) => ({ ...level, reach: reach[k] ?? 0 }));
    return energyRatio({ ...conditions, levels }).ratio >= ratio;
  };
  if (!isEnough(0)) return null;
  if (isEnough(1)) return 1;
  let low = 0;
  let high = 1;
  for (let i = 0; i < HALVINGS && high - low > 1e-12; i++) {
    const middle = (low + high) / 2;
    if (isEnough(middle)) low = middle;
    else high = middle;
  }
  return low;
}

interface FleetNeeds {
  readonly replicas: readonly number[];
  /** In the limit: for one request a second. */
  readonly devices: number;
  /** Device seconds that a request keeps devices busy. */
  readonly busySeconds: number;
}

/** In the limit nothing is rounded, and one request a second stands for any rate. */
function fleetNeeds(levels: readonly RatioLevel[], { ratePerSecond, utilisationCap }: RatioConditions): FleetNeeds {
  const replicas = levels.map(({ reach, ratePerSecond: own }) => {
    if (ratePerSecond === Number.POSITIVE_INFINITY) return reach / (utilisationCap * own);
    return Math.max(1, Math.ceil((ratePerSecond * reach) / (utilisationCap * own) - 1e-9));
  });
  return {
    replicas,
    devices: levels.reduce((sum, level, k) => sum + level.devices * (replicas[k] ?? 0), 0),
    busySeconds: levels.reduce((sum, level) => sum + (level.reach * level.devices) / level.ratePerSecond, 0),
  };
}

function energyOf(needs: FleetNeeds, bareWatts: number, { ratePerSecond, watts }: RatioConditions): FleetEnergy {
  const isLimit = ratePerSecond === Number.POSITIVE_INFINITY;
  const rate = isLimit ? 1 : ratePerSecond;
  const dynamicJoules = needs.busySeconds * (watts.active - watts.idle);
  const joulesPerRequest = (needs.devices * watts.idle + bareWatts) / rate + dynamicJoules;
  return {
    replicas: isLimit ? needs.replicas.map(() => Number.POSITIVE_INFINITY) : needs.replicas,
    devices: isLimit ? Number.POSITIVE_INFINITY : needs.devices,
    watts: joulesPerRequest * ratePerSecond,
    joulesPerRequest,
    dynamicJoulesPerRequest: dynamicJoules,
  };
}

function validate({ levels, ratePerSecond, utilisationCap, watts, shadowShare, baselineGain }: RatioConditions): void {
  const require = (holds: boolean, text: string): void => {
    if (!holds) throw invalid(text);
  };
  require(ratePerSecond > 0, `the rate is ${ratePerSecond}, must be above 0`);
  require(utilisationCap > 0 && utilisationCap <= 1, `the utilisation cap is ${utilisationCap}, must be in (0, 1]`);
  require(shadowShare >= 0 && shadowShare <= 1, `the shadow share is ${shadowShare}, must be in [0, 1]`);
  require(baselineGain > 0, `the gain of the baseline is ${baselineGain}, must be above 0`);
  const { bare, idle, active } = watts;
  const areOrdered = bare >= 0 && idle >= bare && active >= idle;
  require(areOrdered, `watts are ${bare} bare, ${idle} idle, ${active} active; must not fall`);
  for (const [k, level] of levels.entries()) {
    require(level.devices >= 1, `level ${k} takes ${level.devices} devices a replica, must be at least 1`);
    require(level.ratePerSecond > 0, `level ${k} serves ${level.ratePerSecond} requests/s, must be above 0`);
    require(level.reach >= 0 && level.reach <= 1, `the reach of level ${k} is ${level.reach}, must be in [0, 1]`);
  }
}

function invalid(text: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", `energy ratio: ${text}`);
}
