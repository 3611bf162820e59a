/** A scenario as the closed form takes it, and as a placement problem. */
import { InferenceError } from "../../proto/errors.ts";
import type { DeviceClass, DeviceWatts } from "../../proto/files/devices-file.ts";
import { reachOf } from "../../proto/files/workload-file.ts";
import type { Stage } from "../fleet.ts";
import { countsForLatency, type LevelOption, type PlacementProblem } from "../placement/problem.ts";
import { loadedReach } from "../plan/workload.ts";
import type { RatioConditions } from "./energy-ratio.ts";
import type { Scenario, ScenarioLevel } from "./scenario-file.ts";

/** Which fleet of a scenario is meant. */
export interface ScenarioVariant {
  /** All levels, or the last one for every request. */
  readonly levels: "cascade" | "last-only";
  /** Any batch that the scenario has a time for, or one row at a time. */
  readonly batching: "any" | "single";
  readonly unusedDevices: "off" | "bare";
}

/** Share of a device's memory that models may take; the rest is for the runtime (planner.md 6). */
const MEMORY_SHARE = 0.9;
const RELATIVE_GAP = 0.005;
/** A level waits this share of the latency objective for its batch to fill: without it, more copies mean emptier batches. */
const QUEUE_SHARE = 0.05;

/**
 * Conditions of the closed form: the largest batches, the fewest stages. `baselineBatching` `single` is the baseline as
 * the paper's prototype had it, one row at a time. Throws INVALID_ARGUMENT where devices differ or watts are not known.
 */
export function ratioConditions(
  scenario: Scenario,
  ratePerSecond: number,
  { baselineBatching, unusedDevices }: { baselineBatching: "any" | "single"; unusedDevices: "off" | "bare" },
): RatioConditions {
  const { workload, utilisationCap, levels } = scenario;
  const reach = reachOf(workload.dataflow.paths);
  const { watts, speed } = onlyClass(scenario);
  const shapes = levels.map((level, k) => {
    const devices = level.stages[0] ?? 1;
    return {
      devices,
      ratePerSecond: (devices * speed) / secondsPerRow(level, largestBatch(level)),
      reach: reach[k] ?? 0,
    };
  });
  const last = levels.at(-1);
  const gain =
    last === undefined || baselineBatching === "any"
      ? 1
      : secondsPerRow(last, largestBatch(last)) / secondsPerRow(last, 1);
  return {
    levels: shapes,
    ratePerSecond,
    utilisationCap,
    watts,
    unusedDevices,
    shadowShare: workload.shadowShare,
    baselineGain: gain,
  };
}

/** `meanRows[k]`: rows of level k's batches that a simulation saw; undefined: batches are full. */
export function scenarioProblem(
  scenario: Scenario,
  ratePerSecond: number,
  variant: ScenarioVariant,
  meanRows: readonly (number | undefined)[] = [],
): PlacementProblem {
  const { devices, workload, utilisationCap } = scenario;
  const { slo } = workload;
  const isCascade = variant.levels === "cascade";
  const reach = isCascade ? loadedReach({ ...workload, paths: workload.dataflow.paths }) : [1];
  const levels = isCascade ? scenario.levels : scenario.levels.slice(-1);
  return {
    objective: "energy",
    levels: levels.map((level, k) => ({
      model: level.model,
      reach: reach[k] ?? 0,
      countsForLatency: countsForLatency(reach[k] ?? 0, slo.percentile),
      copies: 1,
      options: levelOptions(scenario, level, variant.batching, meanRows[k]),
    })),
    ...devices,
    rate: ratePerSecond,
    rowsPerRequest: 1,
    arrivalCv: workload.arrivals.process === "gamma" ? workload.arrivals.cv : 1,
    slo,
    utilisationCap,
    memoryShare: MEMORY_SHARE,
    unusedDevices: variant.unusedDevices,
    relativeGap: RELATIVE_GAP,
  };
}

/** Every number of stages with every batch size. */
function levelOptions(
  scenario: Scenario,
  level: ScenarioLevel,
  batching: ScenarioVariant["batching"],
  meanRows: number | undefined,
): LevelOption[] {
  const times = batching === "single" ? level.times.slice(0, 1) : level.times;
  return level.stages.flatMap((count) => {
    const stages = Array.from({ length: count }, (_, i) => stageOf(scenario, level, times, count, i));
    return times.map(({ rows }) => ({
      stages,
      batch: {
        maxBatchSize: rows,
        preferredBatchSizes: [rows],
        maxQueueDelayMs: rows === 1 ? 0 : QUEUE_SHARE * scenario.workload.slo.latencyMs,
        preserveOrdering: false,
      },
      meanRows: Math.min(rows, meanRows ?? rows),
    }));
  });
}

/** One of `count` equal stages. */
function stageOf(
  { devices, speeds }: Scenario,
  { model, memoryBytes, outputBytesPerRow }: ScenarioLevel,
  times: ScenarioLevel["times"],
  count: number,
  index: number,
): Stage {
  const perClass = <T>(value: (deviceClass: DeviceClass) => T): Map<string, T> =>
    new Map(devices.classes.map((each) => [each.name, value(each)]));
  return {
    id: `${model}-${index}`,
    memoryBytes: perClass(() => memoryBytes / count),
    service: perClass(({ name }) => ({
      batchSizes: times.map(({ rows }) => rows),
      samplesMs: times.map(({ ms }) => [ms / count / (speeds.get(name) ?? 1)]),
    })),
    energyJ: new Map(),
    outputBytesPerRow,
  };
}

/** Rows of the batch that costs least a row. */
export function largestBatch({ times }: ScenarioLevel): number {
  return times.at(-1)?.rows ?? 1;
}

/** Device seconds of a row in batches of `rows`, which the level must have a time for. */
export function secondsPerRow({ times }: ScenarioLevel, rows: number): number {
  const ms = times.find((time) => time.rows === rows)?.ms ?? Number.NaN;
  return ms / 1000 / rows;
}

function onlyClass({ devices, speeds }: Scenario): { readonly watts: DeviceWatts; readonly speed: number } {
  const [first, ...others] = devices.classes;
  if (first === undefined || others.length > 0) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      "the closed form is for devices of one class; plan and simulate instead",
    );
  }
  if (first.watts === null) {
    throw new InferenceError("INVALID_ARGUMENT", `class '${first.name}' has no watts; energy cannot be compared`);
  }
  return { watts: first.watts, speed: speeds.get(first.name) ?? 1 };
}
