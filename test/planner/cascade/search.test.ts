import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { evaluateGates } from "../../../planner/cascade/evaluate.ts";
import type { SearchOptions } from "../../../planner/cascade/evaluations.ts";
import { knee, paretoFront, withinBudget } from "../../../planner/cascade/front.ts";
import type { GateOutcome, LevelOutcomes } from "../../../planner/cascade/outcomes.ts";
import { searchThresholds } from "../../../planner/cascade/search.ts";
import { type Gate, NEVER } from "../../../proto/files/cascade-file.ts";
import { lastLevelOnlyPoint } from "../../../scheduler/cascade/policy.ts";
import { anyOutcomes, plausibleOutcomes } from "./outcome-samples.ts";

const COSTS = [1, 4, 16, 64];
/** So few values that every one of them has a cell of its own, however few cells there are. */
const VALUES = [0, 0.3, 0.55, 0.7, 0.9, 1];

function options(levels: number, rest: Partial<SearchOptions> = {}): SearchOptions {
  return { costs: COSTS.slice(0, levels), skips: "searched", hopeless: null, seed: 1, ...rest };
}

/** Rows whose confidences are rounded down to one of `values`. */
function coarse(outcomes: LevelOutcomes, values: readonly number[]): LevelOutcomes {
  const round = (q: number) => values.filter((value) => value <= q).at(-1) ?? q; // NaN stays
  return { ...outcomes, confidences: outcomes.confidences.map((own) => own.map(round)) };
}

/** Every gate whose cuts are among `cuts`, with the skip cut left out too. */
function everyGate(cuts: readonly number[], skips: number): Gate[] {
  return cuts.flatMap((accept) =>
    skips === 0
      ? [{ accept, skip: [], hopeless: null }]
      : everySkip(cuts, accept, skips).map((skip) => ({ accept, skip, hopeless: null })),
  );
}

function everySkip(cuts: readonly number[], most: number, skips: number): number[][] {
  if (skips === 0) return [[]];
  const longer = cuts
    .filter((cut) => cut <= most)
    .flatMap((cut) => everySkip(cuts, cut, skips - 1).map((rest) => [cut, ...rest]));
  return [[], ...longer];
}

function everyCombination(cuts: readonly number[], levels: number): Gate[][] {
  let combinations: Gate[][] = [[]];
  for (let k = 0; k < levels - 1; k++) {
    const gates = everyGate(cuts, levels - 2 - k);
    combinations = combinations.flatMap((before) => gates.map((gate) => [...before, gate]));
  }
  return combinations;
}

/** [cost, value] of each point of the front, rounded as sums of costs are. */
function figures(points: readonly GateOutcome[], value: "accuracy" | "harm"): number[][] {
  return points.map((point) => [Number(point.cost.toFixed(9)), Number(point[value].toFixed(9))]);
}

function frontOf(points: readonly GateOutcome[], loss: (point: GateOutcome) => number): GateOutcome[] {
  const costs = Float64Array.from(points, ({ cost }) => Number(cost.toFixed(9)));
  return paretoFront(costs, Float64Array.from(points, loss)).map((i) => points[i] as GateOutcome); // positions of points
}

describe("searchThresholds", () => {
  for (const levels of [2, 3]) {
    it(`finds of ${levels} levels the fronts that trying every cut finds`, () => {
      fc.assert(
        fc.property(anyOutcomes(levels, 30), (rows) => {
          const outcomes = coarse(rows, VALUES);
          const found = searchThresholds(outcomes, options(levels));
          const all = everyCombination([...VALUES, NEVER], levels).map((gates) =>
            evaluateGates(outcomes, gates, COSTS.slice(0, levels)),
          );
          const graph = frontOf(all, ({ accuracy }) => 1 - accuracy);
          assert.deepEqual(figures(found.graph, "accuracy"), figures(graph, "accuracy"));
          const lastOnly = evaluateGates(outcomes, lastLevelOnlyPoint(levels).gates, COSTS.slice(0, levels));
          const cheaper = frontOf(all, ({ harm }) => harm).filter(({ cost }) => cost < lastOnly.cost - 1e-9);
          assert.deepEqual(figures(found.path, "harm"), figures([lastOnly, ...cheaper.reverse()], "harm"));
        }),
        { numRuns: 150, seed: 21 },
      );
    });
  }

  it("gains within 1 % of what every combination gains for four levels, and does so the same way twice", () => {
    const cuts = [0, 0.5, 0.7, 0.85, NEVER];
    const outcomes = coarse(plausibleOutcomes(4, 400, 3), cuts);
    const all = everyCombination(cuts, 4).map((gates) => evaluateGates(outcomes, gates, COSTS));
    const found = searchThresholds(outcomes, options(4));
    assert.deepEqual(searchThresholds(outcomes, options(4)), found);
    // What is gained over the last level alone, in accuracy or harm less the price of what it costs.
    const lastOnly = evaluateGates(outcomes, lastLevelOnlyPoint(4).gates, COSTS);
    const best = (points: readonly GateOutcome[], price: number, value: "accuracy" | "harm") => {
      const sign = value === "harm" ? -1 : 1;
      const gain = (point: GateOutcome) =>
        sign * (point[value] - lastOnly[value]) - (price * (point.cost - lastOnly.cost)) / lastOnly.cost;
      return Math.max(...points.map(gain));
    };
    for (const price of [0.001, 0.01, 0.05, 0.2]) {
      assert.ok(best(found.graph, price, "accuracy") >= 0.99 * best(all, price, "accuracy"), `error at ${price}`);
      assert.ok(best(found.path, price, "harm") >= 0.99 * best(all, price, "harm"), `harm at ${price}`);
    }
  });

  it("starts its path with the last level alone; harm rises and cost falls from there", () => {
    const outcomes = plausibleOutcomes(3, 3000, 5);
    const { path, graph } = searchThresholds(outcomes, options(3));
    const [first] = path;
    assert.deepEqual(first?.reach, [0, 0, 1]);
    assert.equal(first?.harm, 0);
    assert.equal(first?.gap, 0);
    assert.ok(path.length > 20 && graph.length > 20, `${path.length} ${graph.length}`);
    path.slice(1).forEach((point, i) => {
      assert.ok(point.cost < (path[i]?.cost ?? 0));
      assert.ok(i === 0 || point.harm > (path[i]?.harm ?? 1));
    });
    graph.slice(1).forEach((point, i) => {
      assert.ok(point.cost > (graph[i]?.cost ?? 0) && point.accuracy > (graph[i]?.accuracy ?? 1));
    });
  });

  it("never finds less with searched skips than with none or with equal parts", () => {
    const outcomes = plausibleOutcomes(3, 3000, 6);
    const searched = searchThresholds(outcomes, options(3)).graph;
    for (const skips of ["none", "uniform"] as const) {
      const rest = searchThresholds(outcomes, options(3, { skips })).graph;
      for (const point of rest) {
        const within = withinBudget(searched, point.cost + 1e-9);
        assert.ok(within !== undefined && within.accuracy >= point.accuracy, `${skips} at ${point.cost}`);
      }
    }
    const none = searchThresholds(outcomes, options(3, { skips: "none" })).graph;
    assert.ok(none.every(({ gates }) => gates.every(({ skip }) => skip.length === 0)));
  });

  it("finds of a hopeless band at least what it finds without", () => {
    // Level 0 is right exactly where it is sure or has no idea: only a band can use the second.
    const rows = 600;
    const confidence = Float64Array.from({ length: rows }, (_, row) => row / rows);
    const small = Uint8Array.from(confidence, (q) => (q < 0.2 || q > 0.8 ? 1 : 0));
    const outcomes: LevelOutcomes = {
      rows,
      confidences: [confidence],
      correct: [small, new Uint8Array(rows).fill(1)],
      answers: [Int32Array.from(small), new Int32Array(rows).fill(1)],
    };
    const cheapest = (hopeless: SearchOptions["hopeless"]) =>
      searchThresholds(outcomes, options(2, { hopeless })).graph.at(-1);
    const [plain, banded] = [cheapest(null), cheapest("accept")];
    assert.equal(plain?.accuracy, 1);
    assert.equal(banded?.accuracy, 1);
    assert.ok((banded?.cost ?? 9) < (plain?.cost ?? 0) - 0.4, `${banded?.cost} ${plain?.cost}`);
  });

  it("keeps the band whatever the skips are", () => {
    const rows = 600;
    const confidence = Float64Array.from({ length: rows }, (_, row) => row / rows);
    const small = Uint8Array.from(confidence, (q) => (q < 0.2 || q > 0.8 ? 1 : 0));
    const right = new Uint8Array(rows).fill(1);
    const outcomes: LevelOutcomes = {
      rows,
      confidences: [confidence, confidence],
      correct: [small, right, right],
      answers: [Int32Array.from(small), Int32Array.from(right), Int32Array.from(right)],
    };
    for (const skips of ["searched", "uniform", "none"] as const) {
      const cheapest = (hopeless: SearchOptions["hopeless"]) =>
        searchThresholds(outcomes, options(3, { skips, hopeless })).path.findLast(({ harm }) => harm === 0);
      const [plain, banded] = [cheapest(null), cheapest("accept")];
      assert.equal(banded?.gates[0]?.hopeless?.action, "accept", skips);
      assert.ok((banded?.cost ?? 9) < (plain?.cost ?? 0) - 0.4, `${skips}: ${banded?.cost} ${plain?.cost}`);
    }
  });
});

describe("costs of nothing", () => {
  it("ends where no level, or only the last, costs anything", () => {
    const outcomes = plausibleOutcomes(4, 100, 8);
    for (const costs of [
      [0, 0, 0, 0],
      [1, 2, 3, 0],
    ]) {
      const { path } = searchThresholds(outcomes, options(4, { costs }));
      assert.equal(path.length, 1, "nothing is cheaper than a last level that costs nothing");
    }
  });
});

describe("named points", () => {
  const front = [
    { cost: 1, accuracy: 0.5 },
    { cost: 2, accuracy: 0.8 },
    { cost: 6, accuracy: 0.9 },
    { cost: 11, accuracy: 1 },
  ];

  it("has its knee farthest above the chord", () => {
    assert.equal(knee(front), front[1]);
    assert.equal(knee(front.slice(0, 1)), front[0]);
    assert.equal(knee([]), undefined);
  });

  it("takes the most accurate point within a budget", () => {
    assert.equal(withinBudget(front, 6), front[2]);
    assert.equal(withinBudget(front, 5.99), front[1]);
    assert.equal(withinBudget(front, 0.5), undefined);
  });

  it("keeps of equal points the first", () => {
    assert.deepEqual(paretoFront(Float64Array.of(2, 1, 1, 2, 3), Float64Array.of(1, 2, 2, 1, 1)), [1, 0]);
  });
});
