import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { boundOf, rankChoices } from "../../../planner/placement/bounds.ts";
import { balanceLayout, unitsOf } from "../../../planner/placement/layout.ts";
import { latencyOf, type PlacementModel, placementModel } from "../../../planner/placement/model.ts";
import { findPrices, priceOptions } from "../../../planner/placement/prices.ts";
import type { PlacementProblem } from "../../../planner/placement/problem.ts";
import { deviceClass, devices, level, option, problem, stage } from "./sample-problems.ts";

test("the first choices are the best of all within the latency budget, whatever the budget", () => {
  let constrained = 0;
  for (let seed = 0; seed < 40; seed++) {
    const model = placementModel(sampleProblem(seed), Number.POSITIVE_INFINITY);
    const all = choicesOf(model).filter((choice) => latencyOf(model, choice) <= model.latencyBudgetMs * (1 + 1e-9));
    const values = all.map((choice) => splitValue(model, choice)).sort((a, b) => b - a);
    const { choices, rest } = rankChoices(model, 4);
    assert.equal(choices.length, Math.min(4, all.length), `seed ${seed}`);
    if (all.length < choicesOf(model).length) constrained++;
    for (const [i, choice] of choices.entries()) {
      assert.ok(latencyOf(model, choice.options) <= model.latencyBudgetMs * (1 + 1e-9));
      near(choice.bound, values[i] ?? 0);
    }
    assert.ok(rest >= (values[4] ?? 0) * (1 - 1e-9), `seed ${seed}: the rest is bounded`);
  }
  assert.ok(constrained > 10, `${constrained} with a budget that binds`);
});

test("no choice beats the bound of any prices, good or bad", () => {
  for (let seed = 0; seed < 30; seed++) {
    const random = seededRandom(seed);
    const model = placementModel(sampleProblem(seed), Number.POSITIVE_INFINITY);
    const any = { classes: model.classes.map(() => random()), latency: random() < 0.5 ? 0 : random() * 1e-3 };
    const all = choicesOf(model).filter((choice) => latencyOf(model, choice) <= model.latencyBudgetMs);
    for (const prices of [any, findPrices(model)]) {
      const { costs, bound } = priceOptions(model, prices);
      for (const choice of all) {
        const sum = choice.reduce((total, p, k) => total + (costs[k]?.[p] ?? 0), 0);
        assert.ok(bound(sum) >= splitValue(model, choice) * (1 - 1e-9), `seed ${seed}: ${choice.join()}`);
      }
    }
  }
});

test("energy: the bound is below the watts of every choice, and scarce classes raise it", () => {
  const watts = { bare: 5, idle: 20, active: 100, source: "test" };
  const cheap = { bare: 1, idle: 2, active: 10, source: "test" };
  const sample = (count: number): PlacementProblem =>
    problem({
      objective: "energy",
      rate: 2,
      levels: [level("m", [option([stage("m.0", 0.5, 1, { a: 1, b: 2 })])])],
      classes: [deviceClass("a", 16, watts), deviceClass("b", 16, cheap)],
      devices: [...devices("a", 4), ...devices("b", count)],
    });
  const bound = (count: number): number => {
    const model = placementModel(sample(count), 2);
    return boundOf(model, rankChoices(model, 1));
  };
  // Two requests a second at one second each on b: two devices of 10 W at work.
  near(bound(4), 20);
  // One device of b takes half of them, the rest half a second each on a: 0.5 x 100 W.
  near(bound(1), 10 + 50);
});

function sampleProblem(seed: number): PlacementProblem {
  const random = seededRandom(seed);
  const levels = [0, 1, 2].map((k) =>
    level(
      `m${k}`,
      [1, 2, 3].map((stages) => {
        const slower = { a: 1, b: 1.5 + 3 * random() };
        const seconds = (0.2 + random()) / stages ** 0.5;
        return option(Array.from({ length: stages }, (_, s) => stage(`m${k}.${s}`, seconds, 1, slower)));
      }),
      1 - 0.3 * k,
    ),
  );
  const latencyMs = seed % 2 === 0 ? 3000 + 4000 * random() : Number.POSITIVE_INFINITY;
  return problem({
    levels,
    slo: { latencyMs, percentile: 0.99 },
    utilisationCap: 0.8,
    classes: [deviceClass("a", 16), deviceClass("b", 16)],
    devices: [...devices("a", 4), ...devices("b", 6)],
  });
}

/** Rate when every device holds everything. */
function splitValue(model: PlacementModel, choice: readonly number[]): number {
  const units = unitsOf(model, choice);
  const bins = model.classes.map((each, classIndex) => ({
    classIndex,
    units: units.flatMap((unit, u) => (unit.on[classIndex] ? [u] : [])),
    count: each.devices.length,
  }));
  return balanceLayout(model, { choice, units, bins }, true).rate;
}

function choicesOf(model: PlacementModel): number[][] {
  return model.levels.reduce<number[][]>(
    (choices, each) => choices.flatMap((choice) => each.options.map((_, p) => [...choice, p])),
    [[]],
  );
}

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) <= 1e-7 * expected, `${actual} is not ${expected}`);
}
