import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stage } from "../../../planner/fleet.ts";
import { balanceLayout, unitsOf } from "../../../planner/placement/layout.ts";
import { allOptions, placementModel } from "../../../planner/placement/model.ts";
import { place } from "../../../planner/placement/place.ts";
import { countsForLatency, type LevelOption, type PlacementProblem } from "../../../planner/placement/problem.ts";
import { deviceClass, devices, level, option, problem, stage } from "./sample-problems.ts";

const WATTS = { bare: 5, idle: 20, active: 100, source: "test" };

test("a stage's cost: reach, rows of a request, mean batch, hand-over as device time, measured or modelled energy", () => {
  const first: Stage = {
    ...stage("m.0", 0, 4, { a: 1 }),
    service: new Map([
      [
        "a",
        {
          batchSizes: [1, 4],
          samplesMs: [
            [10, 20],
            [30, 30],
          ],
        },
      ],
    ]), // two samples alone: mean 15
    outputBytesPerRow: 1000,
  };
  const second: Stage = { ...first, id: "m.1", energyJ: new Map([["a", [2, 5]]]) };
  const batch = { maxBatchSize: 4, preferredBatchSizes: [], maxQueueDelayMs: 50, preserveOrdering: false };
  const link = { bytesPerMs: 500, latencyMs: 1 };
  const sample = problem({
    levels: [level("m", [{ stages: [first, second], batch, meanRows: 2 }], 0.5)],
    classes: [deviceClass("a", 16, WATTS)],
    links: { sameNode: link, betweenNodes: { bytesPerMs: 250, latencyMs: 3 } },
    rowsPerRequest: 6,
  });
  const [cut] = placementModel(sample, Number.POSITIVE_INFINITY).levels[0]?.options ?? [];
  const [one, two] = [cut?.stages[0]?.[0], cut?.stages[1]?.[0]];
  // 0.5 x 6 rows in batches of 2: 1.5 runs of 15 + (30 - 15) / 3 = 20 ms, and 1 + 2000 / 500 = 5 ms to hand over.
  near(one?.loadSeconds, (1.5 * (20 + 5)) / 1000);
  near(one?.joules, 1.5 * (100 - 20) * 0.02);
  near(one?.batchMs, 30 + 1 + 4000 / 500);
  // The last stage hands over to nobody; joules between those of one and of four rows.
  near(two?.loadSeconds, (1.5 * 20) / 1000);
  near(two?.joules, 1.5 * 3);
  // Nobody waits at an unlimited rate: both runs of the largest batch and the hand-over.
  near(cut?.latencyMs, 30 + 9 + 30);
  const nodes = { ...sample, devices: devices("a", 4, (i) => `n${i}`) };
  const far = placementModel(nodes, Number.POSITIVE_INFINITY).levels[0]?.options[0]?.stages[0]?.[0];
  near(far?.batchMs, 30 + 3 + 4000 / 250);
});

test("latency grows as the rate falls: fewer servers, and batches take longer to fill", () => {
  const sample = { ...waiting(), utilisationCap: 0.8 };
  const latency = (rate: number): number => allOptions(sample, rate)[0]?.[0]?.[0]?.latencyMs ?? Number.NaN;
  // 100 ms of work a request: one server at the cap; M/D/1 waits 2 x 400 ms; the batch waits at most 50 ms.
  near(latency(1), 400 + 800 + 50);
  near(latency(Number.POSITIVE_INFINITY), 400);
  assert.ok(latency(10) < latency(1) && latency(1000) < latency(10));
});

test("classes of an option: all where latency is loose, else sets from the fastest on", () => {
  const sample = (latencyMs: number): PlacementProblem =>
    problem({
      levels: [level("m", [option([stage("m.0", 0.1, 1, { a: 1, b: 5, c: 20 })])])],
      classes: [deviceClass("c", 16), deviceClass("a", 16), deviceClass("b", 16)],
      devices: [...devices("a", 2), ...devices("b", 2), ...devices("c", 2)],
      slo: { latencyMs, percentile: 0.99 },
    });
  const sets = (latencyMs: number) =>
    placementModel(sample(latencyMs), Number.POSITIVE_INFINITY).levels[0]?.options.map((each) =>
      each.stages[0]?.flatMap((cost, c) => (cost === null ? [] : [sample(1).classes[c]?.name])).join(""),
    );
  assert.deepEqual(sets(1e6), ["cab"]);
  assert.deepEqual(sets(600), ["a", "ab"]);
  assert.deepEqual(sets(150), ["a"]);
  assert.deepEqual(sets(50), []);
});

test("levels that few rows reach do not count for the percentile", () => {
  assert.equal(countsForLatency(1, 0.99), true);
  assert.equal(countsForLatency(0.02, 0.99), true);
  assert.equal(countsForLatency(0.01, 0.99), false);
  // Of requests of eight rows 4 % have one that enters.
  assert.equal(countsForLatency(0.005, 0.99, 1), false);
  assert.equal(countsForLatency(0.005, 0.99, 8), true);
});

test("unused devices cost nothing when off, and their bare watts else", async () => {
  const sample = problem({
    objective: "energy",
    rate: 0.5,
    levels: [level("m", [option([stage("m.0", 1, 1, { a: 1 })])])],
    classes: [deviceClass("a", 16, WATTS)],
  });
  const wattsOf = async (unusedDevices: "off" | "bare"): Promise<number> => {
    const result = await place({ ...sample, unusedDevices }, null);
    assert.ok(result.kind === "placed");
    return result.watts ?? Number.NaN;
  };
  // One of four devices works half of the time.
  near(await wattsOf("off"), 20 + 0.5 * 80);
  near(await wattsOf("bare"), 20 + 0.5 * 80 + 3 * 5);
});

test("among equal divisions of the load the most even one is told", () => {
  const sample = problem({
    objective: "energy",
    rate: 1,
    levels: [
      level("m", [option([stage("m.0", 0.4, 1, { a: 1 })])]),
      level("n", [option([stage("n.0", 0.4, 1, { a: 1 })])]),
    ],
    classes: [deviceClass("a", 16, WATTS)],
  });
  const model = placementModel(sample, 1);
  const bins = [
    { classIndex: 0, units: [0], count: 1 },
    { classIndex: 0, units: [0, 1], count: 1 },
  ];
  const { flows } = balanceLayout(model, { choice: [0, 0], units: unitsOf(model, [0, 0]), bins }, false);
  // 0.8 device seconds a second over two devices: the first takes all of m, the second all of n.
  near(flows[0]?.[0], 1);
  near(flows[1]?.[1], 1);
});

/** A batch of four takes as long as it waits to be filled at ten rows a second. */
function waiting(): PlacementProblem {
  const batch = { maxBatchSize: 4, preferredBatchSizes: [], maxQueueDelayMs: 50, preserveOrdering: false };
  const own: LevelOption = { stages: [stage("m.0", 0.4, 1, { a: 1 })], batch, meanRows: 4 };
  const service = { batchSizes: [4], samplesMs: [[400]] };
  return problem({
    levels: [
      level("m", [{ ...own, stages: own.stages.map((each) => ({ ...each, service: new Map([["a", service]]) })) }]),
    ],
  });
}

function near(actual: number | undefined, expected: number): void {
  assert.ok(
    Math.abs((actual ?? Number.NaN) - expected) <= 1e-9 * Math.max(1, expected),
    `${actual} is not ${expected}`,
  );
}
