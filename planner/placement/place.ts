/** Places levels onto devices: from the problem to a fleet that the simulator and the plan file understand. */
import type { PlanAlgorithm } from "../../proto/files/plan-file.ts";
import type { Fleet } from "../fleet.ts";
import type { Candidate } from "./candidate.ts";
import { chooseDevices, type HeldDevice, replicasOf } from "./expand.ts";
import { whyInfeasible } from "./infeasible.ts";
import { type Balance, balanceLayout } from "./layout.ts";
import type { MilpSolver } from "./milp.ts";
import { optionLatencyMs, type PlacementModel, placementModel } from "./model.ts";
import type { PlacementProblem } from "./problem.ts";
import { searchPlacement } from "./search.ts";

export type PlacementOutcome = PlacementResult | InfeasiblePlacement;

export interface InfeasiblePlacement {
  readonly kind: "infeasible";
  /** Each says what is in the way and what would help. */
  readonly reasons: readonly string[];
}

export interface PlacementResult {
  readonly kind: "placed";
  readonly fleet: Fleet;
  /** Index of the chosen option of each level. */
  readonly choice: readonly number[];
  /** Requests a second: the highest within the utilisation cap (`throughput`), or the problem's (`energy`). */
  readonly rate: number;
  /** Highest requests a second of these very replicas within the cap. */
  readonly mostRate: number;
  /** Of the fleet at `rate`; null: the power of some class is not known. */
  readonly watts: number | null;
  /** Estimate by formula at `rate`, worst case over the counted levels; the simulator decides. */
  readonly latencyMs: number;
  /** By device: share of the time it is busy at `rate`. */
  readonly utilisation: readonly number[];
  readonly algorithm: PlanAlgorithm;
  /** How far the value is from what no placement beats: 0 proves the optimum. */
  readonly optimalityGap: number;
  readonly bound: number;
  readonly solverMs: number;
  readonly isTimeLimited: boolean;
  /** For `explainPlacement`. */
  readonly search: { readonly model: PlacementModel; readonly found: Candidate; readonly held: readonly HeldDevice[] };
}

/** Rates at which waits are looked at again before the search goes on with the longest waits. */
const WAIT_ROUNDS = 4;

/**
 * The best placement that the algorithms find; without a solver (null) by the exact and rule-based ones alone. Throughput
 * first assumes that nobody waits, which many devices come near to, and plans again with the waits of the rate it reached
 * where that is too slow. Equal inputs give equal placements unless a solver's time limit was reached.
 */
export async function place(problem: PlacementProblem, solver: MilpSolver | null): Promise<PlacementOutcome> {
  let waitRate = problem.objective === "energy" ? problem.rate : Number.POSITIVE_INFINITY;
  let solverMs = 0;
  let isTimeLimited = false;
  for (let round = 0; ; round++) {
    const model = placementModel(problem, waitRate);
    const result = await searchPlacement(problem, model, solver);
    solverMs += result.solverMs;
    isTimeLimited ||= result.isTimeLimited;
    const { best } = result;
    if (best === null) return { kind: "infeasible", reasons: whyInfeasible(problem, model, result) };
    const { rate } = best.balance;
    const latencyMs = latencyAt(problem, model, best, rate);
    if (latencyMs <= problem.slo.latencyMs * (1 + 1e-9) || waitRate === 0) {
      return placed(problem, model, best, { bound: result.bound, latencyMs, solverMs, isTimeLimited });
    }
    waitRate = round < WAIT_ROUNDS ? Math.min(rate, waitRate * 0.9) : 0;
  }
}

function latencyAt(problem: PlacementProblem, model: PlacementModel, found: Candidate, rate: number): number {
  return problem.levels.reduce((sum, level, k) => {
    const option = model.levels[k]?.options[found.layout.choice[k] ?? 0];
    if (!level.countsForLatency || option === undefined) return sum;
    return sum + optionLatencyMs(problem, level, option, rate);
  }, 0);
}

function placed(
  problem: PlacementProblem,
  model: PlacementModel,
  found: Candidate,
  figures: Pick<PlacementResult, "bound" | "latencyMs" | "solverMs" | "isTimeLimited">,
): PlacementResult {
  const { layout } = found;
  const balance = balanceLayout(model, layout, false);
  const isThroughput = model.objective === "throughput";
  const held = chooseDevices(problem, model, layout, found.pinned);
  const options = model.levels.map((level, k) => level.options[layout.choice[k] ?? 0]);
  const levels = options.map((option, k) => ({
    model: problem.levels[k]?.model ?? "",
    stages: option?.source.stages ?? [],
    batch: option?.source.batch ?? NO_BATCH,
  }));
  const { classes, devices, links } = problem;
  const { rate, watts } = balance;
  const value = isThroughput ? rate : watts;
  const gap = isThroughput ? (figures.bound - value) / figures.bound : (value - figures.bound) / value;
  return {
    kind: "placed",
    fleet: { classes, devices, links, levels, replicas: replicasOf(layout, balance, held) },
    choice: options.map((option) => option?.sourceIndex ?? 0),
    rate: isThroughput ? rate : problem.rate,
    mostRate: isThroughput ? rate : balanceLayout({ ...model, objective: "throughput" }, layout, true).rate,
    watts: Number.isFinite(watts) ? watts : null,
    utilisation: utilisationOf(problem, found, balance, held),
    algorithm: found.algorithm,
    optimalityGap: gap < 2e-6 ? 0 : gap,
    ...figures,
    search: { model, found: { ...found, balance }, held },
  };
}

const NO_BATCH = { maxBatchSize: 1, preferredBatchSizes: [], maxQueueDelayMs: 0, preserveOrdering: false };

function utilisationOf(
  problem: PlacementProblem,
  { layout }: Candidate,
  balance: Balance,
  held: readonly HeldDevice[],
): number[] {
  const busy = layout.bins.map((bin, b) =>
    bin.units.reduce((sum, u, i) => {
      const flow = (balance.flows[b]?.[i] ?? 0) / bin.count;
      return sum + flow * (layout.units[u]?.on[bin.classIndex]?.loadSeconds ?? 0);
    }, 0),
  );
  const utilisation = problem.devices.map(() => 0);
  for (const { device, bin } of held) utilisation[device] = busy[bin] ?? 0;
  return utilisation;
}
