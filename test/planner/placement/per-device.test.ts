/** Stages that share devices: the per-device MILP against the enumeration of all placements. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { HighsSolver } from "../../../cli/plan/highs-solver.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { boundOf, rankChoices } from "../../../planner/placement/bounds.ts";
import { evaluate, placeByRule } from "../../../planner/placement/heuristic.ts";
import { unitsOf } from "../../../planner/placement/layout.ts";
import { placementModel } from "../../../planner/placement/model.ts";
import { deviceProblem } from "../../../planner/placement/per-device.ts";
import type { PlacementProblem } from "../../../planner/placement/problem.ts";
import { bestRateByEnumeration, deviceClass, devices, problem, unitLevels } from "./sample-problems.ts";

const EFFORT = { starts: 1, passes: 0, operations: 1e8, bound: Number.POSITIVE_INFINITY };
const EXACT = { relativeGap: 0, nodeLimit: 100_000, timeLimitMs: 20_000 };
const CHOICE = [0, 0, 0, 0];

const solver = new HighsSolver();
after(() => solver.close());

test("one class: per-device MILP = enumeration, with and without a start from the heuristic", async () => {
  let feasible = 0;
  for (let seed = 0; seed < 59; seed++) {
    const sample = oneClass(seed);
    const model = placementModel(sample, Number.POSITIVE_INFINITY);
    const expected = bestRateByEnumeration(model, CHOICE);
    const warm = placeByRule(model, CHOICE, EFFORT);
    const bound = boundOf(model, rankChoices(model, 1));
    const milp = deviceProblem(
      model,
      CHOICE,
      unitsOf(model, CHOICE),
      sample.devices.map(() => 0),
      bound,
    );
    const start = warm === null ? null : milp.start(warm.layout, warm.balance);
    const solution = await solver.solve(milp.problem, { ...EXACT, start: seed % 2 === 0 ? start : null });
    if (expected === 0) {
      assert.ok(solution.isInfeasible, `seed ${seed}: nothing fits`);
      continue;
    }
    const { rate } = evaluate(model, milp.read(solution.values ?? []).layout).balance;
    assert.ok(Math.abs(rate - expected) <= 1e-6 * expected, `seed ${seed}: ${rate}, not ${expected}`);
    feasible++;
  }
  assert.ok(feasible >= 49, `${feasible} feasible instances`);
});

function oneClass(seed: number): PlacementProblem {
  const random = seededRandom(5000 + seed);
  const count = 2 + Math.floor(random() * 3);
  const loads = CHOICE.map(() => 0.2 + 3 * random());
  const memory = CHOICE.map(() => Math.ceil(1 + 9 * random()));
  const classes = [deviceClass("a", 11 + Math.floor(9 * random()))];
  return problem({ levels: unitLevels(loads, memory), devices: devices("a", count), classes });
}
