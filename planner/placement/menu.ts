/** Which options of a level are worth an optimiser's time: their number decides how long a MILP takes. */
import { allOptions, fastestMs, type ModelOption } from "./model.ts";
import type { LevelOption, PlacementProblem } from "./problem.ts";
import type { StageCost } from "./stage-cost.ts";

const CHEAPEST = 4;
const FASTEST = 2;
const SMALLEST = 2;

interface Figures {
  readonly source: LevelOption;
  readonly latencyMs: number;
  /** Device seconds a request on the best classes. */
  readonly workSeconds: number;
  /** Largest stage, then all stages together. */
  readonly stageBytes: number;
  readonly bytes: number;
  /** Joules above the idle device; 0 where power is not known. */
  readonly joules: number;
}

/**
 * The problem with at most `most` options a level: the cheapest within the level's share of the latency objective, the
 * fastest, the smallest, then others that no option beats in latency, work, memory and energy. Options that cannot run on the
 * devices go first. A level whose options all cannot run keeps them, so that the reason can be told.
 */
export function withMenu(problem: PlacementProblem, most = 12): PlacementProblem {
  const waitRate = problem.objective === "energy" ? problem.rate : Number.POSITIVE_INFINITY;
  const all = allOptions(problem, waitRate);
  const counted = all.filter((_, k) => problem.levels[k]?.countsForLatency === true);
  const leastMs = counted.reduce((sum, options) => sum + fastestMs(options), 0);
  const levels = problem.levels.map((level, k) => {
    const sets = all[k] ?? [];
    const figures = sets.flatMap((each) => each.slice(0, 1).map(figuresOf));
    if (figures.length <= most) {
      return figures.length === 0 ? level : { ...level, options: figures.map(({ source }) => source) };
    }
    const shareMs = level.countsForLatency
      ? (fastestMs(sets) / leastMs) * problem.slo.latencyMs
      : Number.POSITIVE_INFINITY;
    const kept = choose(figures, shareMs, problem.objective === "energy", most);
    return { ...level, options: level.options.filter((option) => kept.has(option)) };
  });
  return { ...problem, levels };
}

function choose(
  figures: readonly Figures[],
  shareMs: number,
  isEnergy: boolean,
  most: number,
): ReadonlySet<LevelOption> {
  const cost = (each: Figures): number => (isEnergy ? each.joules : each.workSeconds);
  const byCost = (a: Figures, b: Figures): number => cost(a) - cost(b) || a.workSeconds - b.workSeconds;
  const inShare = figures.filter((each) => each.latencyMs <= shareMs);
  const groups = [
    [...inShare].sort(byCost).slice(0, CHEAPEST),
    [...figures].sort((a, b) => a.latencyMs - b.latencyMs || byCost(a, b)).slice(0, FASTEST),
    [...figures].sort((a, b) => a.stageBytes - b.stageBytes || a.bytes - b.bytes || byCost(a, b)).slice(0, SMALLEST),
    figures.filter((each) => !figures.some((other) => beats(other, each))).sort(byCost),
  ];
  const kept = new Set<LevelOption>();
  for (const { source } of groups.flat()) if (kept.size < most) kept.add(source);
  return kept;
}

/** On the fastest classes that can run all of it. */
function figuresOf({ source, latencyMs, stages }: ModelOption): Figures {
  const least = (stage: readonly (StageCost | null)[], value: (cost: StageCost) => number): number =>
    Math.min(...stage.map((cost) => (cost === null ? Number.POSITIVE_INFINITY : value(cost))));
  const sum = (value: (cost: StageCost) => number): number =>
    stages.reduce((total, stage) => total + least(stage, value), 0);
  const joules = sum((cost) => cost.joules);
  return {
    source,
    latencyMs,
    workSeconds: sum((cost) => cost.loadSeconds),
    stageBytes: Math.max(...stages.map((stage) => least(stage, (cost) => cost.memoryBytes))),
    bytes: sum((cost) => cost.memoryBytes),
    joules: Number.isFinite(joules) ? joules : 0,
  };
}

function beats(a: Figures, b: Figures): boolean {
  const pairs: (readonly [number, number])[] = [
    [a.latencyMs, b.latencyMs],
    [a.workSeconds, b.workSeconds],
    [a.stageBytes, b.stageBytes],
    [a.joules, b.joules],
  ];
  return pairs.every(([x, y]) => x <= y) && pairs.some(([x, y]) => x < y);
}
