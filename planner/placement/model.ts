/** The problem in the numbers that optimisers need: loads, memory and watts by stage and class, latency by option. */
import { InferenceError } from "../../proto/errors.ts";
import type { PlanObjective } from "../../proto/files/plan-file.ts";
import type { LevelOption, PlacedLevel, PlacementProblem } from "./problem.ts";
import { type StageCost, stageCost, stageWaitMs } from "./stage-cost.ts";
import { batchWaitMs } from "./waiting.ts";

export interface PlacementModel {
  readonly objective: PlanObjective;
  /** Requests a second that the objective `energy` must serve. */
  readonly rate: number;
  readonly utilisationCap: number;
  readonly latencyBudgetMs: number;
  /** By level: latency of its fastest option, within the budget or not; Infinity: no option can run. */
  readonly fastestMs: readonly number[];
  readonly classes: readonly ModelClass[];
  readonly levels: readonly ModelLevel[];
  /** Watts of the whole fleet when no device holds a copy. */
  readonly unusedWatts: number;
  readonly relativeGap: number;
}

export interface ModelClass {
  readonly name: string;
  /** Indices into the problem's devices. */
  readonly devices: readonly number[];
  readonly memoryBytes: number;
  /** What a device with copies takes more than an unused one, before it runs anything. */
  readonly keptWatts: number;
}

export interface ModelLevel {
  readonly copies: number;
  readonly countsForLatency: boolean;
  readonly options: readonly ModelOption[];
}

/** An option of the problem on some of the classes. */
export interface ModelOption {
  readonly source: LevelOption;
  /** Index of `source` in the level's options. */
  readonly sourceIndex: number;
  /** On the slowest of its classes: queue, batch wait, runs and hand-overs. */
  readonly latencyMs: number;
  /** stages[s][c]: null where the stage cannot or must not run on class c. */
  readonly stages: readonly (readonly (StageCost | null)[])[];
}

/** Most ways to choose the classes of one option: the more classes, the more devices, the slower the slowest. */
const CLASS_SETS_PER_OPTION = 3;
/** A level that nothing reaches still gets a copy; a tiny load keeps divisions finite. */
const LEAST_REACH = 1e-9;

/**
 * `waitRate` is the rate that waits are estimated at: the more devices a stage needs, the shorter its queue. Infinity: no
 * waits at all. Throws INVALID_ARGUMENT for figures that make no sense.
 */
export function placementModel(problem: PlacementProblem, waitRate: number): PlacementModel {
  validate(problem);
  const classes = problem.classes.map((each): ModelClass => {
    const unused = problem.unusedDevices === "off" ? 0 : (each.watts?.bare ?? 0);
    return {
      name: each.name,
      devices: problem.devices.flatMap((device, i) => (device.class === each.name ? [i] : [])),
      memoryBytes: each.memoryBytes * problem.memoryShare,
      keptWatts: (each.watts?.idle ?? Number.NaN) - unused,
    };
  });
  const unusedWatts = problem.classes.reduce((sum, each, c) => {
    const count = classes[c]?.devices.length ?? 0;
    if (count === 0 || problem.unusedDevices === "off") return sum;
    return sum + count * (each.watts?.bare ?? Number.NaN);
  }, 0);
  const all = allOptions(problem, waitRate);
  const budgetMs = problem.slo.latencyMs;
  const levels = problem.levels.map(({ copies, countsForLatency }) => ({ copies, countsForLatency, options: [] }));
  return {
    objective: problem.objective,
    rate: problem.rate,
    utilisationCap: problem.utilisationCap,
    latencyBudgetMs: budgetMs,
    fastestMs: all.map(fastestMs),
    classes,
    levels: levels.map((level, k) => ({ ...level, options: chooseClassSets(all, problem.levels, budgetMs, k) })),
    unusedWatts,
    relativeGap: problem.relativeGap,
  };
}

/** Latency of the counted levels, one option each. */
export function latencyOf(model: PlacementModel, choice: readonly number[]): number {
  let sum = 0;
  for (const [k, level] of model.levels.entries()) {
    if (level.countsForLatency) sum += level.options[choice[k] ?? 0]?.latencyMs ?? 0;
  }
  return sum;
}

function validate(problem: PlacementProblem): void {
  const { utilisationCap, memoryShare, rate, rowsPerRequest, objective } = problem;
  const requirePositive = (name: string, value: number, most: number): void => {
    if (value > 0 && value <= most) return;
    throw new InferenceError("INVALID_ARGUMENT", `placement: ${name} is ${value}; must be above 0, at most ${most}`);
  };
  requirePositive("utilisationCap", utilisationCap, 1);
  requirePositive("memoryShare", memoryShare, 1);
  requirePositive("rowsPerRequest", rowsPerRequest, Number.MAX_SAFE_INTEGER);
  if (objective !== "energy") return;
  requirePositive("rate", rate, Number.MAX_SAFE_INTEGER);
  const used = new Set(problem.devices.map((device) => device.class));
  const unknown = problem.classes.filter((each) => each.watts === null && used.has(each.name));
  if (unknown.length > 0) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `the objective 'energy' needs the power of every class; add 'watts' to ${unknown.map((each) => `'${each.name}'`).join(", ")} in the devices file, or plan for 'throughput'`,
    );
  }
}

/** [level][option of the problem][set of classes], fast enough or not; no set: the option cannot run on these devices. */
export function allOptions(problem: PlacementProblem, waitRate: number): ModelOption[][][] {
  const counted = problem.classes.map(({ name }) => problem.devices.filter((device) => device.class === name).length);
  return problem.levels.map((level) => optionsOf(problem, level, counted, waitRate));
}

/** Options of one level, each on ever more classes, fastest first; the last of an option's entries uses all it can. */
function optionsOf(
  problem: PlacementProblem,
  level: PlacedLevel,
  counted: readonly number[],
  waitRate: number,
): ModelOption[][] {
  const rowsPerRequest = Math.max(level.reach, LEAST_REACH) * problem.rowsPerRequest;
  return level.options.map((source, sourceIndex) => {
    const costs = source.stages.map((_, s) =>
      problem.classes.map((each, c) => (counted[c] === 0 ? null : stageCost(problem, rowsPerRequest, source, s, each))),
    );
    return classSets(costs).map((classes) => {
      const stages = costs.map((stage) => stage.map((cost, c) => (classes.has(c) ? cost : null)));
      return { source, sourceIndex, latencyMs: optionLatencyMs(problem, level, { source, stages }, waitRate), stages };
    });
  });
}

/** Batch wait, then for every stage queue, run and hand-over on the slowest class that it may use. */
export function optionLatencyMs(
  problem: PlacementProblem,
  level: PlacedLevel,
  { source, stages }: Pick<ModelOption, "source" | "stages">,
  waitRate: number,
): number {
  const { maxBatchSize, maxQueueDelayMs } = source.batch;
  const rowsPerSecond = waitRate * Math.max(level.reach, LEAST_REACH) * problem.rowsPerRequest;
  return stages.reduce(
    (sum, stage) => {
      const times = stage.map((cost) =>
        cost === null ? 0 : cost.batchMs + stageWaitMs(problem, cost, level.copies, waitRate),
      );
      return sum + Math.max(...times);
    },
    batchWaitMs(maxBatchSize, rowsPerSecond, maxQueueDelayMs),
  );
}

/** Classes from the fastest on, one more each time, as soon as every stage has one that can run it. */
function classSets(costs: readonly (readonly (StageCost | null)[])[]): ReadonlySet<number>[] {
  const count = costs[0]?.length ?? 0;
  const slowness = Array.from({ length: count }, (_, c) => ({
    c,
    factor: Math.max(
      ...costs.map((stage) => {
        const fastest = Math.min(...stage.map((cost) => cost?.batchMs ?? Number.POSITIVE_INFINITY));
        return (stage[c]?.batchMs ?? 0) / fastest;
      }),
    ),
  })).filter(({ factor }) => factor > 0);
  slowness.sort((a, b) => a.factor - b.factor || a.c - b.c);
  const sets = slowness.map((_, i) => new Set(slowness.slice(0, i + 1).map(({ c }) => c)));
  return sets.filter((set) => costs.every((stage) => stage.some((cost, c) => cost !== null && set.has(c))));
}

/** Infinity: none can run. */
export function fastestMs(options: readonly (readonly ModelOption[])[]): number {
  return Math.min(...options.flatMap((sets) => sets.map((each) => each.latencyMs)));
}

/** All classes where every choice of the levels is fast enough; else a few sets an option, none over the budget alone. */
function chooseClassSets(
  all: readonly (readonly (readonly ModelOption[])[])[],
  levels: readonly PlacedLevel[],
  budgetMs: number,
  k: number,
): ModelOption[] {
  const counted = all.filter((_, j) => levels[j]?.countsForLatency === true);
  const widestMs = (options: readonly (readonly ModelOption[])[]): number =>
    Math.max(0, ...options.map((sets) => sets.at(-1)?.latencyMs ?? 0));
  const own = all[k] ?? [];
  const isLoose = counted.reduce((sum, options) => sum + widestMs(options), 0) <= budgetMs;
  if (isLoose || levels[k]?.countsForLatency === false) return own.flatMap((sets) => sets.slice(-1));
  const leastMs = counted.reduce((sum, options) => sum + fastestMs(options), 0);
  const shareMs = (fastestMs(own) / leastMs) * budgetMs;
  const mostMs = budgetMs - (leastMs - fastestMs(own));
  return own.flatMap((sets) => {
    const fitting = sets.filter((each) => each.latencyMs <= mostMs);
    const inShare = fitting.findLast((each) => each.latencyMs <= shareMs);
    const chosen = new Set([fitting[0], inShare, fitting.at(-1)].filter((each) => each !== undefined));
    return [...chosen].slice(0, CLASS_SETS_PER_OPTION);
  });
}
