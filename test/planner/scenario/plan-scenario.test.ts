import assert from "node:assert/strict";
import test from "node:test";
import { HighsSolver } from "../../../cli/plan/highs-solver.ts";
import type { MilpSolver } from "../../../planner/placement/milp.ts";
import { energyRatio } from "../../../planner/scenario/energy-ratio.ts";
import { type PlannedScenario, planScenario } from "../../../planner/scenario/plan-scenario.ts";
import type { Scenario } from "../../../planner/scenario/scenario-file.ts";
import { ratioConditions, type ScenarioVariant } from "../../../planner/scenario/scenario-problem.ts";
import { sampleJson, sampleScenario } from "./sample-scenario.ts";

const FAIR = { baselineBatching: "any", unusedDevices: "off" } as const;
const CASCADE: ScenarioVariant = { levels: "cascade", batching: "any", unusedDevices: "off" };

async function planned(
  scenario: Scenario,
  rate: number,
  variant: ScenarioVariant,
  solver: MilpSolver | null = null,
): Promise<PlannedScenario> {
  const outcome = await planScenario(scenario, rate, variant, { solver, requests: 60_000, seed: 1 });
  if (outcome.kind === "infeasible") throw new Error(outcome.reasons.join("; "));
  return outcome;
}

function joules({ simulated }: PlannedScenario): number {
  return simulated.energy?.joulesPerRequest ?? Number.NaN;
}

function within(value: number, expected: number, share: number): void {
  assert.ok(Math.abs(value / expected - 1) <= share, `${value} is not within ${share} of ${expected}`);
}

for (const [rate, unusedDevices] of [
  [20, "off"],
  [100, "off"],
  [100, "bare"],
] as const) {
  test(`the closed form is what is placed and simulated at ${rate} requests/s, unused devices ${unusedDevices}`, async () => {
    const all = sampleScenario(0.05);
    const formula = energyRatio(ratioConditions(all, rate, { baselineBatching: "any", unusedDevices }));
    // The formula counts the baseline's devices and no more.
    const scenario = {
      ...all,
      devices: { ...all.devices, devices: all.devices.devices.slice(0, formula.baseline.devices) },
    };
    const cascade = await planned(scenario, rate, { ...CASCADE, unusedDevices });
    const alone = await planned(scenario, rate, { ...CASCADE, levels: "last-only", unusedDevices });
    assert.equal(cascade.devices, formula.cascade.devices);
    assert.equal(alone.devices, formula.baseline.devices);
    within(joules(cascade), formula.cascade.joulesPerRequest, 0.03);
    within(joules(alone), formula.baseline.joulesPerRequest, 0.03);
    within(joules(alone) / joules(cascade), formula.ratio, 0.03);
  });
}

test("shadows weigh in the simulation as in the closed form", async () => {
  const { workload } = sampleJson(0.05) as { workload: Record<string, unknown> };
  const scenario = sampleScenario(0.05, { workload: { ...workload, shadowShare: 0.02 } });
  const formula = energyRatio(ratioConditions(scenario, 100, FAIR));
  const cascade = await planned(scenario, 100, CASCADE);
  within(joules(cascade), formula.cascade.joulesPerRequest, 0.03);
  assert.ok(
    joules(cascade) > 1.15 * energyRatio(ratioConditions(sampleScenario(0.05), 100, FAIR)).cascade.joulesPerRequest,
  );
});

test("differs where levels may share devices: the planner needs fewer than the formula", async () => {
  const all = sampleScenario(0.05);
  const classes = all.devices.classes.map((each) => ({ ...each, memoryBytes: 1000 }));
  const scenario = { ...all, devices: { ...all.devices, classes, devices: all.devices.devices.slice(0, 12) } };
  const formula = energyRatio(ratioConditions(scenario, 20, FAIR));
  const solver = new HighsSolver();
  const cascade = await planned(scenario, 20, CASCADE, solver).finally(() => solver.close());
  // 20 requests/s keep 20 (1/400 + 0.15/120 + 0.05 x 1.6) = 1.7 devices busy: three at most 70 % busy.
  assert.equal(formula.cascade.devices, 10);
  assert.equal(cascade.devices, 3);
  within(joules(cascade), (3 * 60) / 20 + formula.cascade.dynamicJoulesPerRequest, 0.03);
});

test("differs where batches do not fill: a request then takes more than the formula says", async () => {
  const { levels, workload } = sampleJson(0.05) as {
    levels: { times: unknown[] }[];
    workload: Record<string, unknown>;
  };
  const batched = levels.map((level, k) =>
    k < 2 ? level : { ...level, times: [...level.times, { rows: 16, ms: 6400 }] },
  );
  const scenario = sampleScenario(0.05, {
    levels: batched,
    workload: { ...workload, slo: { latencyMs: 20_000 } },
  });
  const formula = energyRatio(ratioConditions(scenario, 100, FAIR));
  const cascade = await planned(scenario, 100, CASCADE);
  assert.ok((cascade.simulated.levels[2]?.meanBatch ?? 16) < 12);
  assert.ok(joules(cascade) > 1.1 * formula.cascade.joulesPerRequest);
});

test("a baseline without batching is worse by the last level's gain", () => {
  const { levels } = sampleJson(0.05) as { levels: { times: unknown[] }[] };
  const batched = levels.map((level, k) =>
    k < 2 ? level : { ...level, times: [...level.times, { rows: 16, ms: 6400 }] },
  );
  const scenario = sampleScenario(0.05, { levels: batched });
  const fair = ratioConditions(scenario, 100, FAIR);
  const paperStyle = ratioConditions(scenario, 100, { ...FAIR, baselineBatching: "single" });
  assert.equal(fair.baselineGain, 1);
  assert.equal(paperStyle.baselineGain, 0.25);
  assert.equal(energyRatio(paperStyle).baseline.devices, 232);
});

test("what cannot be placed is told", async () => {
  const scenario = { ...sampleScenario(0.05), devices: { ...sampleScenario(0.05).devices, devices: [] } };
  const outcome = await planScenario(scenario, 20, CASCADE, { solver: null, requests: 1000, seed: 1 });
  assert.equal(outcome.kind, "infeasible");
});

test("the closed form refuses devices of several classes and unknown watts", () => {
  const scenario = sampleScenario(0.05);
  const [gpu] = scenario.devices.classes;
  assert.ok(gpu !== undefined);
  const withClasses = (classes: Scenario["devices"]["classes"]): Scenario => ({
    ...scenario,
    devices: { ...scenario.devices, classes },
  });
  assert.throws(() => ratioConditions(withClasses([gpu, gpu]), 1, FAIR), /devices of one class/);
  assert.throws(() => ratioConditions(withClasses([{ ...gpu, watts: null }]), 1, FAIR), /class 'gpu' has no watts/);
});
