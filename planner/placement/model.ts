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
  const counted = classes.map((each) => each.devices.length);
  const unusedWatts = problem.classes.reduce((sum, each, c) => {
    const watts = problem.unusedDevices === "off" ? 0 : (each.watts?.bare ?? Number.NaN);
    return sum + (counted[c] === 0 ? 0 : watts * (counted[c] ?? 0));
  }, 0);
  const all = problem.levels.map((level) => optionsOf(problem, level, counted, waitRate));
  const budgetMs = problem.slo.latencyMs;
  const levels = problem.levels.map(({ copies, countsForLatency }) => ({ copies, countsForLatency, options: [] }));
  return {
    objective: problem.objective,
    rate: problem.rate,
    utilisationCap: problem.utilisationCap,
    latencyBudgetMs: budgetMs,
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

/** Options of one level, each on ever more classes, fastest first; the last of an option's entries uses all it can. */
function optionsOf(
  problem: PlacementProblem,
  level: PlacedLevel,
  counted: readonly number[],
  waitRate: number,
): ModelOption[][] {
  // A level that nothing reaches still gets a copy; a tiny load keeps divisions finite.
  const rowsPerRequest = Math.max(level.reach, 1e-9) * problem.rowsPerRequest;
  return level.options.map((source, sourceIndex) => {
    const costs = source.stages.map((_, s) =>
      problem.classes.map((each, c) => (counted[c] === 0 ? null : stageCost(problem, rowsPerRequest, source, s, each))),
    );
    const timeMs = costs.map((stage) =>
      stage.map((cost) => (cost === null ? null : cost.batchMs + stageWaitMs(problem, cost, level.copies, waitRate))),
    );
    const waitMs = batchWaitMs(source.batch.maxBatchSize, waitRate * rowsPerRequest, source.batch.maxQueueDelayMs);
    return classSets(timeMs).map((classes) => ({
      source,
      sourceIndex,
      latencyMs: timeMs.reduce((sum, stage) => sum + slowest(stage, classes), waitMs),
      stages: costs.map((stage) => stage.map((cost, c) => (classes.has(c) ? cost : null))),
    }));
  });
}

/** Classes from the fastest on, one more each time, as soon as every stage has one that can run it. */
function classSets(timeMs: readonly (readonly (number | null)[])[]): ReadonlySet<number>[] {
  const count = timeMs[0]?.length ?? 0;
  const slowness = Array.from({ length: count }, (_, c) => ({
    c,
    factor: Math.max(
      ...timeMs.map((stage) => {
        const own = stage[c];
        const fastest = Math.min(...stage.map((ms) => ms ?? Number.POSITIVE_INFINITY));
        return own === null || own === undefined ? 0 : own / fastest;
      }),
    ),
  })).filter(({ factor }) => factor > 0 || Number.isNaN(factor));
  slowness.sort((a, b) => a.factor - b.factor || a.c - b.c);
  const sets = slowness.map((_, i) => new Set(slowness.slice(0, i + 1).map(({ c }) => c)));
  return sets.filter((set) => timeMs.every((stage) => stage.some((ms, c) => ms !== null && set.has(c))));
}

function slowest(stage: readonly (number | null)[], classes: ReadonlySet<number>): number {
  return Math.max(...stage.map((ms, c) => (ms !== null && classes.has(c) ? ms : 0)));
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
  const fastestMs = (options: readonly (readonly ModelOption[])[]): number =>
    Math.min(...options.flatMap((sets) => sets.map((each) => each.latencyMs)));
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
