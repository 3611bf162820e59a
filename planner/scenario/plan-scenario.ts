/** Places a scenario's fleet and simulates it: what the closed form leaves out (shared devices, part-filled batches, waits). */

import type { MilpSolver } from "../placement/milp.ts";
import { type InfeasiblePlacement, type PlacementResult, place } from "../placement/place.ts";
import { simulate } from "../simulate/simulate.ts";
import type { SimulationResult } from "../simulate/simulation.ts";
import type { Scenario } from "./scenario-file.ts";
import { type ScenarioVariant, scenarioProblem } from "./scenario-problem.ts";

export interface PlannedScenario {
  readonly kind: "planned";
  readonly placement: PlacementResult;
  readonly simulated: SimulationResult;
  /** Devices that hold a copy of something. */
  readonly devices: number;
}

export interface ScenarioRun {
  /** null: only the exact and rule-based searches. */
  readonly solver: MilpSolver | null;
  readonly requests: number;
  readonly seed: number;
}

/** Batches that a simulation sees change the load, and so the placement; after these many rounds the last one stands. */
const MOST_ROUNDS = 4;
/** Mean batches closer to the assumed ones than this share of them change nothing. */
const BATCH_PRECISION = 0.1;

/** Resolves with the reasons where nothing can be placed. */
export async function planScenario(
  scenario: Scenario,
  ratePerSecond: number,
  variant: ScenarioVariant,
  { solver, requests, seed }: ScenarioRun,
): Promise<PlannedScenario | InfeasiblePlacement> {
  const { workload } = scenario;
  const paths = variant.levels === "cascade" ? workload.dataflow.paths : [[1]];
  let meanRows: readonly (number | undefined)[] = [];
  for (let round = 1; ; round++) {
    const placement = await place(scenarioProblem(scenario, ratePerSecond, variant, meanRows), solver);
    if (placement.kind === "infeasible") return placement;
    const simulated = simulate(
      placement.fleet,
      {
        ratePerSecond,
        arrivals: workload.arrivals,
        rowsPerRequest: 1,
        sloMs: workload.slo.latencyMs,
        routing: { kind: "paths", paths },
        shadowShare: workload.shadowShare,
      },
      { requests, seed, unusedDevices: variant.unusedDevices },
    );
    const seen = simulated.levels.map(({ meanBatch }) => Math.max(1, meanBatch));
    const isSettled = seen.every((rows, k) => {
      const assumed = meanRows[k] ?? placement.fleet.levels[k]?.batch.maxBatchSize ?? 1;
      return Math.abs(rows - assumed) <= BATCH_PRECISION * assumed;
    });
    if (isSettled || round === MOST_ROUNDS) {
      const devices = new Set(placement.fleet.replicas.map(({ device }) => device)).size;
      return { kind: "planned", placement, simulated, devices };
    }
    meanRows = seen;
  }
}
