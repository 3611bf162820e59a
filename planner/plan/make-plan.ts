/**
 * From profiles, devices and a workload to a placement with batches and figures: place by estimates, measure the stages
 * that were chosen, place again until all that was chosen is measured; let the simulator judge, and plan with more room
 * where the objective does not hold (planner.md 3.2).
 */
import { InferenceError } from "../../proto/errors.ts";
import type { Device, DeviceClass, Links } from "../../proto/files/devices-file.ts";
import type { Gear, PlanObjective } from "../../proto/files/plan-file.ts";
import type { ModelProfile } from "../../proto/files/profile-file.ts";
import { reachOf } from "../../proto/files/workload-file.ts";
import type { Fleet } from "../fleet.ts";
import { withMenu } from "../placement/menu.ts";
import type { MilpSolver } from "../placement/milp.ts";
import { type PlacementResult, place } from "../placement/place.ts";
import { countsForLatency, type LevelOption, type PlacementProblem } from "../placement/problem.ts";
import { simulate } from "../simulate/simulate.ts";
import type { SimulationResult } from "../simulate/simulation.ts";
import { type Capacity, type CapacityOptions, capacity, holds } from "./capacity.ts";
import { type GearPoint, gearTable } from "./gears.ts";
import { measureChosen, type StageMeasurer } from "./measure-ways.ts";
import { tuneQueueDelays } from "./queue-delays.ts";
import { classSpeeds, cutModels, type StagedModel, usefulBatchSizes, wholeModel } from "./stage-options.ts";
import { loadedReach, type PlanWorkload, simulatedAt } from "./workload.ts";

export interface PlanRequest {
  readonly objective: PlanObjective;
  readonly workload: PlanWorkload;
  /** Smallest first. */
  readonly profiles: readonly ModelProfile[];
  readonly classes: readonly DeviceClass[];
  readonly devices: readonly Device[];
  readonly links: Links;
  /** No device is planned to be busier than this share of the time. */
  readonly utilisationCap: number;
  /** Share of a device's memory that models may take. */
  readonly memoryShare: number;
  /** Least copies of every stage, in failure groups of their own. */
  readonly copies: number;
  readonly unusedDevices: "off" | "bare";
  /** Points that a gear may choose. */
  readonly gearPoints: readonly GearPoint[];
  readonly seed: number;
  /** Requests of the simulations that decide. */
  readonly simulatedRequests: number;
}

/** What a plan needs done outside: all that runs a model or takes long. */
export interface PlanTools extends StageMeasurer {
  /** null: only the exact and rule-based searches. */
  readonly solver: MilpSolver | null;
}

export interface MadePlan {
  readonly problem: PlacementProblem;
  readonly placement: PlacementResult;
  /** By level: how the model is cut. */
  readonly staged: readonly StagedModel[];
  /** The placement with its queue delays. */
  readonly fleet: Fleet;
  /** undefined: the fleet holds the objective at no rate. */
  readonly capacity: Capacity | undefined;
  /** At the workload's rate, or at the highest that holds where that is lower. */
  readonly predicted: SimulationResult;
  readonly predictedRate: number;
  readonly gears: readonly Gear[];
  /** What the user should know: ways that were given up, an objective that does not hold. */
  readonly warnings: readonly string[];
}

/** How often the search starts again before it takes the mean batches and the room that it has. */
const MOST_ROUNDS = 12;
/** Rounds after these only measure what was chosen: what is left over then never agrees with its estimates. */
const MOST_MEASURING_ROUNDS = 2 * MOST_ROUNDS;
/** Of the latency objective: what requests wait for each other before delays are tuned, where energy counts. */
const FIRST_DELAY_SHARE = 0.05;
/** Room added where the simulator finds the objective missed. */
const MORE_ROOM = 1.15;
const MOST_ROOM = MORE_ROOM ** 8;
/** Simulations that only compare candidates are shorter. */
const TUNING_SHARE = 0.3;

/** Rejects with FAILED_PRECONDITION and the reasons where nothing can be placed. */
export async function makePlan(request: PlanRequest, tools: PlanTools): Promise<MadePlan> {
  requireWatts(request);
  const ways = request.profiles.map((profile) => waysToRun(profile, request));
  const warnings: string[] = [];
  const meanRows = request.profiles.map((): number | undefined => undefined);
  let room = 1;
  for (let round = 0; ; round++) {
    const { problem, wayOf } = problemOf(request, ways, meanRows, room);
    tools.progress(`placing, round ${round + 1}`);
    const outcome = await place(problem, tools.solver);
    if (outcome.kind === "infeasible") throw impossible(outcome.reasons, warnings);
    const staged = outcome.choice.map((option, k) => wayOf(k, option));
    const isLastRound = round >= MOST_ROUNDS;
    if (await measureChosen(request.profiles, ways, staged, tools, warnings)) {
      if (round >= MOST_MEASURING_ROUNDS)
        throw impossible(["the stages that were chosen keep being slower than they were estimated"], []);
      continue;
    }
    const result = simulatePlan(request, outcome, request.simulatedRequests * TUNING_SHARE);
    const isEnergy = request.objective === "energy";
    if (isEnergy && !isLastRound && updateMeanRows(meanRows, outcome, result)) continue;
    if (isEnergy && !isLastRound && room < MOST_ROOM && !holds(result, request.workload.slo, request.workload.rate)) {
      room *= MORE_ROOM;
      continue;
    }
    tools.progress("simulating");
    return finish(request, problem, outcome, staged, warnings);
  }
}

function requireWatts({ objective, classes }: PlanRequest): void {
  const unknown = classes.find((each) => each.watts === null);
  if (objective !== "energy" || unknown === undefined) return;
  throw new InferenceError(
    "FAILED_PRECONDITION",
    `--objective energy needs the power of every class, devices.json has no 'watts' for '${unknown.name}': measure it ` +
      "(hybridserve doctor --devices, where there is a meter) or enter what the data sheet says, with its source",
  );
}

function waysToRun(profile: ModelProfile, request: PlanRequest): StagedModel[] {
  const whole = wholeModel(profile);
  const { classes, links, devices, memoryShare } = request;
  const cut = cutModels(profile, classes, links, devices.length, memoryShare, classSpeeds(request.profiles, classes));
  const ways = [...(whole === undefined ? [] : [whole]), ...cut];
  if (ways.length > 0) return ways;
  const why = profile.classes.map((each) => `on ${each.class}: ${each.stopped}`).join("; ");
  throw new InferenceError(
    "FAILED_PRECONDITION",
    `model '${profile.name}' runs on no class of the devices, whole or cut (${why === "" ? "it was profiled on none" : why})`,
  );
}

/** Every way with every batch size, as many as are worth searching; `wayOf` leads from a chosen option to its way. */
function problemOf(
  request: PlanRequest,
  ways: readonly (readonly StagedModel[])[],
  meanRows: readonly (number | undefined)[],
  room: number,
): { readonly problem: PlacementProblem; wayOf(level: number, option: number): StagedModel } {
  const { workload, profiles } = request;
  const reach = loadedReach(workload);
  const own = reachOf(workload.paths);
  // Without any wait batches of a lightly loaded fleet are single rows, which cost more devices, which empties them further.
  const firstDelayMs = request.objective === "energy" ? FIRST_DELAY_SHARE * workload.slo.latencyMs : 0;
  const wayOf = new Map<LevelOption, StagedModel>();
  const optionOf = (way: StagedModel, batchSize: number, mean: number | undefined): LevelOption => {
    const option: LevelOption = {
      stages: way.stages,
      batch: {
        maxBatchSize: batchSize,
        preferredBatchSizes: [batchSize],
        maxQueueDelayMs: batchSize === 1 ? 0 : firstDelayMs,
        preserveOrdering: false,
      },
      meanRows: Math.min(batchSize, mean ?? batchSize),
    };
    wayOf.set(option, way);
    return option;
  };
  const levels = ways.map((each, k) => ({
    model: profiles[k]?.name ?? "",
    reach: reach[k] ?? 0,
    // Nobody waits for shadows.
    countsForLatency: countsForLatency(own[k] ?? 0, workload.slo.percentile, workload.rowsPerRequest),
    copies: request.copies,
    options: each.flatMap((way) => usefulBatchSizes(way).map((size) => optionOf(way, size, meanRows[k]))),
  }));
  const problem = withMenu({
    objective: request.objective,
    levels,
    classes: request.classes,
    devices: request.devices,
    links: request.links,
    rate: workload.rate,
    rowsPerRequest: workload.rowsPerRequest,
    arrivalCv: workload.arrivalCv,
    slo: workload.slo,
    utilisationCap: request.utilisationCap / room,
    memoryShare: request.memoryShare,
    unusedDevices: request.unusedDevices,
    relativeGap: 0.005,
  });
  return {
    problem,
    wayOf: (level, index) => {
      const option = problem.levels[level]?.options[index];
      const way = option === undefined ? undefined : wayOf.get(option);
      if (way === undefined) throw new InferenceError("INTERNAL", `placement chose option ${index} of level ${level}`);
      return way;
    },
  };
}

/** Batches that the simulator saw decide what a row costs; true: they differ from what was assumed. */
function updateMeanRows(
  meanRows: (number | undefined)[],
  { fleet }: PlacementResult,
  result: SimulationResult,
): boolean {
  let hasChanged = false;
  for (const [k, level] of result.levels.entries()) {
    const seen = Number.isFinite(level.meanBatch) ? Math.max(1, level.meanBatch) : 1;
    const assumed = meanRows[k] ?? fleet.levels[k]?.batch.maxBatchSize ?? 1;
    if (Math.abs(seen - assumed) <= 0.1 * assumed) continue;
    meanRows[k] = seen;
    hasChanged = true;
  }
  return hasChanged;
}

function simulatePlan(request: PlanRequest, { fleet }: PlacementResult, requests: number): SimulationResult {
  const { workload, seed, unusedDevices } = request;
  return simulate(fleet, simulatedAt(workload, workload.rate), { requests, seed, unusedDevices });
}

function finish(
  request: PlanRequest,
  problem: PlacementProblem,
  placement: PlacementResult,
  staged: readonly StagedModel[],
  warnings: string[],
): MadePlan {
  const { workload, seed, unusedDevices, simulatedRequests } = request;
  const { rate, slo } = workload;
  const tuning: CapacityOptions = { requests: simulatedRequests * TUNING_SHARE, seed, unusedDevices };
  const before = capacity(placement.fleet, workload, tuning);
  const tunedRate = Math.min(rate, before?.rate ?? rate);
  const fleet = tuneQueueDelays(placement.fleet, simulatedAt(workload, tunedRate), slo, request.objective, tuning);
  const most = capacity(fleet, workload, { ...tuning, requests: simulatedRequests });
  const predictedRate = Math.min(rate, most?.rate ?? rate);
  const predicted = simulate(fleet, simulatedAt(workload, predictedRate), {
    requests: simulatedRequests,
    seed: seed + 1,
    unusedDevices,
  });
  if (most === undefined) {
    warnings.push(
      `the objective holds at no rate: ${share(slo.percentile)} within ${slo.latencyMs} ms is out of reach of these ` +
        "devices (see what binds)",
    );
  } else if (most.rate < rate) {
    warnings.push(
      `the workload asks for ${rounded(rate)} requests a second; within the objective this plan takes ${rounded(most.rate)}: ` +
        "the predictions are for that rate",
    );
  }
  return {
    problem,
    placement,
    staged,
    fleet,
    capacity: most,
    predicted,
    predictedRate,
    gears: gearTable(fleet, workload, request.gearPoints, tuning),
    warnings,
  };
}

function impossible(reasons: readonly string[], warnings: readonly string[]): InferenceError {
  return new InferenceError("FAILED_PRECONDITION", `nothing can be placed: ${[...reasons, ...warnings].join("; ")}`);
}

function share(value: number): string {
  return `${Math.round(value * 1000) / 10} %`;
}

function rounded(value: number): string {
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}
