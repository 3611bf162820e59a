import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { evaluate, placeByRule, usedDevices } from "../../../planner/placement/heuristic.ts";
import { joinBins, unitsOf } from "../../../planner/placement/layout.ts";
import { placementModel } from "../../../planner/placement/model.ts";
import type { PlacementProblem } from "../../../planner/placement/problem.ts";
import { bestRateByEnumeration, deviceClass, devices, problem, unitLevels } from "./sample-problems.ts";

const EFFORT = { starts: 3, passes: 2, operations: 1e8, bound: Number.POSITIVE_INFINITY };
const CHOICE = [0, 0, 0, 0];

test("golden: loads 1, 1.5, 2, 2 with memory 1, 3, 10, 10 on 2, 3 and 4 devices of 16", () => {
  for (const [count, seconds] of [
    [2, 3.25],
    [3, 2.166667],
    [4, 1.625],
  ] as const) {
    const model = placementModel(golden(count), Number.POSITIVE_INFINITY);
    const placed = placeByRule(model, CHOICE, EFFORT);
    assert.ok(Math.abs(1 / (placed?.balance.rate ?? 0) - seconds) < 1e-6);
    assert.ok(Math.abs(1 / bestRateByEnumeration(model, CHOICE) - seconds) < 1e-6);
  }
});

test("200 random instances: within 2 % of the enumerated optimum, and feasible where that is", () => {
  let feasible = 0;
  let exact = 0;
  for (let seed = 0; seed < 200; seed++) {
    const model = placementModel(randomProblem(seed), Number.POSITIVE_INFINITY);
    const best = bestRateByEnumeration(model, CHOICE);
    const placed = placeByRule(model, CHOICE, EFFORT);
    if (best === 0) {
      assert.equal(placed, null, `seed ${seed}: nothing fits`);
      continue;
    }
    feasible++;
    const rate = placed?.balance.rate ?? 0;
    assert.ok(rate >= best / 1.02, `seed ${seed}: ${rate} of ${best}`);
    assert.ok(rate <= best * (1 + 1e-9), `seed ${seed}: ${rate} beats the optimum ${best}`);
    if (rate >= best * (1 - 1e-6)) exact++;
  }
  assert.ok(feasible > 150, `${feasible} feasible instances`);
  assert.ok(exact >= 0.99 * feasible, `${exact} of ${feasible} exact`);
});

test("energy by rule: a light load shares one device, a heavy one opens as many as it needs", () => {
  for (const [rate, used] of [
    [0.1, 1],
    [0.6, 2],
    [1.1, 3],
  ] as const) {
    const watts = { bare: 2, idle: 5, active: 15, source: "test" };
    const classes = [deviceClass("a", 16, watts)];
    const sample = problem({
      objective: "energy",
      rate,
      classes,
      levels: unitLevels([1, 1], [4, 10]),
      utilisationCap: 0.8,
    });
    const placed = placeByRule(placementModel(sample, rate), [0, 0], { ...EFFORT, bound: 0 });
    assert.equal(placed?.balance.rate, rate);
    assert.equal(usedDevices(placed?.layout ?? assert.fail()), used, `${rate} requests/s`);
  }
});

test("the load balance of a layout is Hall's bound, and its prices add up to the rate", () => {
  for (let seed = 0; seed < 100; seed++) {
    const model = placementModel(randomProblem(seed), Number.POSITIVE_INFINITY);
    const random = seededRandom(1000 + seed);
    const units = unitsOf(model, CHOICE);
    const held = Array.from({ length: 4 }, () => units.flatMap((_, u) => (random() < 0.5 ? [u] : [])));
    const bins = joinBins(held.map((own) => ({ classIndex: 0, units: own, count: 1 })));
    const { balance } = evaluate(model, { choice: CHOICE, units, bins });
    let hall = Number.POSITIVE_INFINITY;
    for (let set = 1; set < 1 << units.length; set++) {
      const inSet = (u: number): boolean => (set & (1 << u)) !== 0;
      const load = units.reduce((sum, unit, u) => sum + (inSet(u) ? (unit.on[0]?.loadSeconds ?? 0) : 0), 0);
      hall = Math.min(hall, held.filter((own) => own.some(inSet)).length / load);
    }
    assert.ok(Math.abs(balance.rate - hall) <= 1e-9 * Math.max(1, hall), `seed ${seed}: ${balance.rate}, ${hall}`);
    if (hall === 0) continue;
    const worth = bins.reduce((sum, bin, b) => sum + bin.count * (balance.binPrices[b] ?? 0), 0);
    assert.ok(Math.abs(worth - balance.rate) < 1e-9 * balance.rate, `seed ${seed}: prices`);
  }
});

function golden(count: number): PlacementProblem {
  return problem({ levels: unitLevels([1, 1.5, 2, 2], [1, 3, 10, 10]), devices: devices("a", count) });
}

function randomProblem(seed: number): PlacementProblem {
  const random = seededRandom(seed);
  const count = 2 + Math.floor(random() * 3);
  const loads = CHOICE.map(() => 0.2 + 3 * random());
  const memory = CHOICE.map(() => Math.ceil(1 + 9 * random()));
  const classes = [deviceClass("a", 10 + Math.floor(10 * random()))];
  return problem({ levels: unitLevels(loads, memory), devices: devices("a", count), classes });
}
