/** The whole search against the enumeration of all options and placements. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { HighsSolver } from "../../../cli/plan/highs-solver.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { evaluate } from "../../../planner/placement/heuristic.ts";
import { joinBins, unitsOf } from "../../../planner/placement/layout.ts";
import { type PlacementModel, placementModel } from "../../../planner/placement/model.ts";
import { place } from "../../../planner/placement/place.ts";
import type { PlacementProblem } from "../../../planner/placement/problem.ts";
import { deviceClass, devices, level, option, problem, stage, unitLevels } from "./sample-problems.ts";

const solver = new HighsSolver();
after(() => solver.close());

test("golden: the search finds 3.25, 2.166667 and 1.625 seconds a request and proves them", async () => {
  for (const [count, seconds] of [
    [2, 3.25],
    [3, 2.166667],
    [4, 1.625],
  ] as const) {
    const levels = unitLevels([1, 1.5, 2, 2], [1, 3, 10, 10]);
    const result = await place(problem({ levels, devices: devices("a", count) }), solver);
    assert.ok(result.kind === "placed");
    assert.ok(Math.abs(1 / result.rate - seconds) < 1e-6);
    assert.equal(result.optimalityGap, 0);
  }
});

test("two classes, two options a level: the search = enumeration over options and placements, both objectives", async () => {
  let feasible = 0;
  for (let seed = 0; seed < 36; seed++) {
    const sample = twoClasses(seed, seed % 2 === 0 ? "throughput" : "energy");
    const expected = bestOfAllLayouts(placementModel(sample, Number.POSITIVE_INFINITY));
    const result = await place(sample, solver);
    if (expected === null) {
      assert.equal(result.kind, "infeasible", `seed ${seed}: nothing fits`);
      continue;
    }
    assert.ok(result.kind === "placed", `seed ${seed}: a placement exists`);
    const value = sample.objective === "throughput" ? result.rate : (result.watts ?? 0);
    assert.ok(Math.abs(value - expected) <= 1e-5 * expected, `seed ${seed}: ${value}, not ${expected}`);
    assert.ok(result.optimalityGap < 1e-5, `seed ${seed}: gap ${result.optimalityGap}`);
    const isBelow = sample.objective === "throughput" ? result.bound < expected : result.bound > expected;
    assert.ok(!isBelow || Math.abs(result.bound - expected) < 1e-5 * expected, `seed ${seed}: bound ${result.bound}`);
    feasible++;
  }
  assert.ok(feasible > 22, `${feasible} feasible instances`);
});

function twoClasses(seed: number, objective: PlacementProblem["objective"]): PlacementProblem {
  const random = seededRandom(9000 + seed);
  const levels = [0, 1].map((k) =>
    level(
      `m${k}`,
      [1, 2].map((stages) => {
        const slower = { a: 1, b: 1.5 + 3 * random() };
        const memory = Math.ceil((8 * random() + 1) / stages);
        return option(
          Array.from({ length: stages }, (_, s) => stage(`m${k}.${s}`, 0.1 + random() / stages, memory, slower)),
        );
      }),
      k === 0 ? 1 : 0.2 + 0.8 * random(),
    ),
  );
  return problem({
    objective,
    levels,
    rate: 0.5 + random(),
    classes: [
      deviceClass("a", 6 + Math.floor(5 * random()), { bare: 5, idle: 20, active: 100, source: "test" }),
      deviceClass("b", 6, { bare: 2, idle: 6, active: 30, source: "test" }),
    ],
    devices: [...devices("a", 1 + (seed % 2)), ...devices("b", 1)],
  });
}

/** Every choice of options, every set of stages on every device. */
function bestOfAllLayouts(model: PlacementModel): number | null {
  let best: number | null = null;
  const classOfDevice = model.classes.flatMap((each, c) => each.devices.map(() => c));
  for (const a of model.levels[0]?.options.keys() ?? []) {
    for (const b of model.levels[1]?.options.keys() ?? []) {
      const choice = [a, b];
      const units = unitsOf(model, choice);
      for (let code = 0; code < 1 << (units.length * classOfDevice.length); code++) {
        const held = classOfDevice.map((_, d) =>
          units.flatMap((_unit, u) => ((code >> (d * units.length + u)) & 1 ? [u] : [])),
        );
        const takes = (d: number): number =>
          (held[d] ?? []).reduce((sum, u) => sum + (units[u]?.on[classOfDevice[d] ?? 0]?.memoryBytes ?? 1e9), 0);
        if (classOfDevice.some((c, d) => takes(d) > (model.classes[c]?.memoryBytes ?? 0))) continue;
        if (!units.every((_, u) => held.some((own) => own.includes(u)))) continue;
        const bins = joinBins(classOfDevice.map((classIndex, d) => ({ classIndex, units: held[d] ?? [], count: 1 })));
        const { rate, watts } = evaluate(model, { choice, units, bins }).balance;
        if (model.objective === "energy") {
          if (rate >= model.rate * (1 - 1e-9) && (best === null || watts < best)) best = watts;
        } else if (best === null || rate > best) {
          best = rate;
        }
      }
    }
  }
  return best;
}
