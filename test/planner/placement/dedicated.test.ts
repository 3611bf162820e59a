/** Devices that hold one stage each: bisection and MILP against enumeration, and against each other. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { HighsSolver } from "../../../cli/plan/highs-solver.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { aggregatedProblem } from "../../../planner/placement/aggregated.ts";
import { boundOf, rankChoices } from "../../../planner/placement/bounds.ts";
import { evaluate } from "../../../planner/placement/heuristic.ts";
import { placeHomogeneous } from "../../../planner/placement/homogeneous.ts";
import { latencyOf, type PlacementModel, placementModel } from "../../../planner/placement/model.ts";
import type { PlacementProblem } from "../../../planner/placement/problem.ts";
import { deviceClass, devices, level, option, problem, stage } from "./sample-problems.ts";

const OPTIONS = { relativeGap: 0, nodeLimit: 100_000, timeLimitMs: 20_000, start: null };
const WATTS = { bare: 5, idle: 20, active: 100, source: "test" };

const solver = new HighsSolver();
after(() => solver.close());

test("bisection = enumeration over options and replica vectors, both objectives, with and without a latency budget", () => {
  let checked = 0;
  for (let seed = 0; seed < 200; seed++) {
    for (const objective of ["throughput", "energy"] as const) {
      const model = placementModel(oneClassProblem(seed, 3 + (seed % 7), objective), Number.POSITIVE_INFINITY);
      const layout = placeHomogeneous(model, boundOf(model, rankChoices(model, 1)));
      const expected = bestByEnumeration(model);
      if (expected === null) {
        assert.equal(layout, null, `seed ${seed}: nothing fits`);
        continue;
      }
      assert.ok(layout !== null, `seed ${seed} ${objective}: a placement exists`);
      const { balance } = evaluate(model, layout);
      const value = objective === "throughput" ? balance.rate : balance.watts;
      assert.ok(Math.abs(value - expected) <= 1e-9 * expected, `seed ${seed} ${objective}: ${value}, not ${expected}`);
      checked++;
    }
  }
  assert.ok(checked > 250, `${checked} instances`);
});

test("bisection = aggregated MILP to six digits from 8 to 10,000 devices", async () => {
  for (const count of [8, 64, 1000, 10_000]) {
    const model = placementModel(familyProblem(count), Number.POSITIVE_INFINITY);
    const bound = boundOf(model, rankChoices(model, 1));
    const exact = evaluate(model, placeHomogeneous(model, bound) ?? assert.fail("feasible")).balance.rate;
    const { problem: milp, read } = aggregatedProblem(model, bound);
    const solution = await solver.solve(milp, OPTIONS);
    const rate = evaluate(model, read(solution.values ?? [])).balance.rate;
    assert.ok(Math.abs(rate - exact) <= 1e-6 * exact, `${count} devices: ${rate}, bisection ${exact}`);
    assert.ok(Math.abs(solution.objective * bound - exact) <= 1e-6 * exact);
  }
});

test("two classes: aggregated MILP = enumeration, both objectives", async () => {
  let checked = 0;
  for (let seed = 0; seed < 59; seed++) {
    const objective = seed % 2 === 0 ? "throughput" : "energy";
    const model = placementModel(twoClassProblem(seed, objective), Number.POSITIVE_INFINITY);
    const expected = bestByEnumeration(model);
    const scale = objective === "energy" ? model.rate : boundOf(model, rankChoices(model, 1));
    const { problem: milp, read } = aggregatedProblem(model, scale);
    const solution = await solver.solve(milp, OPTIONS);
    if (expected === null) {
      assert.ok(solution.isInfeasible, `seed ${seed}: nothing fits`);
      continue;
    }
    const { balance } = evaluate(model, read(solution.values ?? []));
    const value = objective === "throughput" ? balance.rate : balance.watts;
    assert.ok(Math.abs(value - expected) <= 1e-5 * expected, `seed ${seed} ${objective}: ${value}, not ${expected}`);
    checked++;
  }
  assert.ok(checked >= 45, `${checked} feasible instances`);
});

function oneClassProblem(seed: number, count: number, objective: PlacementProblem["objective"]): PlacementProblem {
  const random = seededRandom(seed);
  const levels = [0, 1].map((k) =>
    level(
      `m${k}`,
      [1, 2].map((stages) =>
        option(Array.from({ length: stages }, (_, s) => stage(`m${k}.${s}`, 0.1 + random() / stages, 1, { a: 1 }))),
      ),
      k === 0 ? 1 : 0.2 + 0.8 * random(),
    ),
  );
  const latencyMs = seed % 3 === 0 ? 1200 : Number.POSITIVE_INFINITY;
  return problem({
    objective,
    levels,
    devices: devices("a", count),
    classes: [deviceClass("a", 16, WATTS)],
    rate: 1 + 3 * random(),
    utilisationCap: 0.8,
    slo: { latencyMs, percentile: 0.99 },
  });
}

function twoClassProblem(seed: number, objective: PlacementProblem["objective"]): PlacementProblem {
  const random = seededRandom(seed);
  const base = oneClassProblem(seed, 0, objective);
  const levels = base.levels.map((each, k) =>
    level(
      each.model,
      [1, 2].map((stages) => {
        const slower = { a: 1, b: 1.5 + 3 * random() };
        return option(
          Array.from({ length: stages }, (_, s) => stage(`m${k}.${s}`, 0.1 + random() / stages, 1, slower)),
        );
      }),
      each.reach,
    ),
  );
  return {
    ...base,
    levels,
    rate: base.rate / 2,
    slo: { ...base.slo, latencyMs: Number.POSITIVE_INFINITY },
    classes: [deviceClass("a", 16, WATTS), deviceClass("b", 16, { bare: 2, idle: 6, active: 30, source: "test" })],
    devices: [...devices("a", 3), ...devices("b", 3)],
  };
}

function familyProblem(count: number): PlacementProblem {
  const reach = [1, 0.4, 0.12, 0.03];
  const levels = reach.map((share, k) =>
    level(
      `m${k}`,
      [1, 2].map((stages) => {
        const seconds = (0.01 * 5 ** k * (1 + 0.1 * stages)) / stages;
        return option(Array.from({ length: stages }, (_, s) => stage(`m${k}.${s}`, seconds, 1, { a: 1 })));
      }),
      share,
    ),
  );
  return problem({ levels, devices: devices("a", count), utilisationCap: 0.8 });
}

/** Highest rate or fewest watts over all options and all ways to count devices by stage and class; null: nothing fits. */
function bestByEnumeration(model: PlacementModel): number | null {
  let best: number | null = null;
  const isEnergy = model.objective === "energy";
  for (const choice of choicesOf(model)) {
    if (latencyOf(model, choice) > model.latencyBudgetMs) continue;
    const stages = model.levels.flatMap((each, k) => each.options[choice[k] ?? 0]?.stages ?? []);
    // Stage by stage: all counts by class that are left, the rate or watts so far.
    const walk = (s: number, left: readonly number[], rate: number, watts: number): void => {
      const costs = stages[s];
      if (costs === undefined) {
        const value = isEnergy ? watts : rate;
        if (best === null || (isEnergy ? value < best : value > best)) best = value;
        return;
      }
      for (const counts of countsUpTo(left)) {
        const carried = counts.reduce(
          (sum, n, c) => sum + (n * model.utilisationCap) / (costs[c]?.loadSeconds ?? 1e9),
          0,
        );
        if (carried === 0 || (isEnergy && carried < model.rate * (1 - 1e-9))) continue;
        const kept = counts.reduce((sum, n, c) => sum + n * (model.classes[c]?.keptWatts ?? 0), 0);
        const rest = left.map((n, c) => n - (counts[c] ?? 0));
        walk(s + 1, rest, Math.min(rate, carried), watts + kept + (isEnergy ? flowWatts(model, costs, counts) : 0));
      }
    };
    const available = model.classes.map((each) => each.devices.length);
    walk(0, available, Number.POSITIVE_INFINITY, model.unusedWatts);
  }
  return best;
}

/** Least joules a second: classes with the fewest joules a request are filled first. */
function flowWatts(
  model: PlacementModel,
  costs: readonly ({ readonly joules: number; readonly loadSeconds: number } | null)[],
  counts: readonly number[],
): number {
  const parts = counts.map((n, c) => ({
    joules: costs[c]?.joules ?? 0,
    most: (n * model.utilisationCap) / (costs[c]?.loadSeconds ?? 1e9),
  }));
  parts.sort((x, y) => x.joules - y.joules);
  let left = model.rate;
  let watts = 0;
  for (const { joules, most } of parts) {
    const flow = Math.min(left, most);
    left -= flow;
    watts += flow * joules;
  }
  return watts;
}

function choicesOf(model: PlacementModel): number[][] {
  return model.levels.reduce<number[][]>(
    (choices, each) => choices.flatMap((choice) => each.options.map((_, p) => [...choice, p])),
    [[]],
  );
}

function countsUpTo(left: readonly number[]): number[][] {
  return left.reduce<number[][]>(
    (all, most) => all.flatMap((counts) => Array.from({ length: most + 1 }, (_, n) => [...counts, n])),
    [[]],
  );
}
