import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { capacity } from "../../../planner/plan/capacity.ts";
import { gearTable } from "../../../planner/plan/gears.ts";
import { makePlan } from "../../../planner/plan/make-plan.ts";
import { tuneQueueDelays } from "../../../planner/plan/queue-delays.ts";
import { simulatedAt } from "../../../planner/plan/workload.ts";
import { planRequest, sampleProfile, twoLevels, workload } from "./profiles.ts";

const SMALL = sampleProfile({ name: "small", rowMs: 1, weightBytes: 1e6, nodes: 0 });
const LARGE = sampleProfile({ name: "large", rowMs: 20, weightBytes: 100e6, nodes: 0 });
const OPTIONS = { requests: 5_000, seed: 1, unusedDevices: "off" } as const;
const TOOLS = { solver: null, progress: () => undefined, measure: async () => "not asked for" };

async function placedFleet() {
  const load = workload({ paths: twoLevels(0.2) });
  const { fleet } = await makePlan(planRequest({ profiles: [SMALL, LARGE], workload: load }), TOOLS);
  return { fleet, load };
}

function point(name: string, escalated: number, cost: number) {
  return { name, routing: { kind: "paths", paths: twoLevels(escalated) } as const, cost };
}

describe("capacity", () => {
  it("is the highest rate at which the objective holds", async () => {
    const { fleet, load } = await placedFleet();
    const found = capacity(fleet, load, OPTIONS);
    assert.ok(found);
    // One millisecond and a fifth of twenty on two cores: 400 a second without a queue.
    assert.ok(found.rate > 250 && found.rate < 400, `${found.rate}`);
    assert.ok(found.result.goodput >= 0.99);
  });

  it("is none where even an idle fleet is too slow", async () => {
    const { fleet, load } = await placedFleet();
    assert.equal(capacity(fleet, { ...load, slo: { latencyMs: 5, percentile: 0.99 } }, OPTIONS), undefined);
  });
});

describe("gears", () => {
  it("has the cheapest point that each rate leaves", async () => {
    const { fleet, load } = await placedFleet();
    const gears = gearTable(fleet, load, [point("dear", 0.5, 10), point("cheap", 0.1, 3)], OPTIONS);
    // The cheap point also carries the highest rate, so there is no other gear.
    assert.deepEqual(
      gears.map(({ operatingPoint, fromRate }) => [operatingPoint, fromRate]),
      [["cheap", 0]],
    );
  });

  it("goes on to what still can be served, without gaps", async () => {
    const { fleet, load } = await placedFleet();
    // By its own price "slow" is the cheapest, and it is the first to be too slow.
    const noWatts = { ...fleet, classes: fleet.classes.map((each) => ({ ...each, watts: null })) };
    const gears = gearTable(noWatts, load, [point("slow", 0.6, 1), point("fast", 0.05, 2)], OPTIONS);
    assert.deepEqual(
      gears.map(({ operatingPoint }) => operatingPoint),
      ["slow", "fast"],
    );
    assert.equal(gears[0]?.toRate, gears[1]?.fromRate);
    assert.equal(gears[0]?.joulesPerRequest, null);
  });

  it("knows that a point which asks the last level at once is the slowest", async () => {
    const { fleet, load } = await placedFleet();
    const last = {
      name: "last",
      routing: {
        kind: "paths",
        paths: [
          [0, 0],
          [0, 1],
        ],
      } as const,
      cost: 20,
    };
    const gears = gearTable(fleet, load, [last, point("cheap", 0.2, 5)], OPTIONS);
    assert.deepEqual(
      gears.map(({ operatingPoint }) => operatingPoint),
      ["cheap"],
    );
  });

  it("is empty where no point can be served", async () => {
    const { fleet, load } = await placedFleet();
    const tight = { ...load, slo: { latencyMs: 5, percentile: 0.99 } };
    assert.deepEqual(gearTable(fleet, tight, [point("any", 0.2, 1)], OPTIONS), []);
  });
});

describe("rates that are far from what the plan is made for", () => {
  it("a point that asks the last level rarely has all the rate that it can serve", async () => {
    const gearPoints = [point("rare", 0, 1)];
    const load = workload({ paths: twoLevels(0.2) });
    const { gears, capacity: most } = await makePlan(
      planRequest({ profiles: [SMALL, LARGE], workload: load, gearPoints }),
      TOOLS,
    );
    assert.ok((most?.rate ?? 0) < 400, `${most?.rate}`);
    // 2 ms a row on two cores, where the planned point takes 6.
    assert.ok((gears[0]?.toRate ?? 0) > 800, `${gears[0]?.toRate}`);
  });

  it("what the devices take is told also where a thousand times as much is asked for", async () => {
    const load = workload({ paths: twoLevels(0.2), rate: 300_000 });
    const { capacity: most } = await makePlan(planRequest({ profiles: [SMALL, LARGE], workload: load }), TOOLS);
    assert.ok((most?.rate ?? 0) > 200, `${most?.rate}`);
  });
});

describe("queue delays", () => {
  it("nobody waits where batches save nothing", async () => {
    const { fleet, load } = await placedFleet();
    const tuned = tuneQueueDelays(fleet, simulatedAt(load, 50), load.slo, "energy", OPTIONS);
    assert.deepEqual(
      tuned.levels.map(({ batch }) => batch.maxQueueDelayMs),
      [0, 0],
    );
  });

  it("requests wait for each other where a batch costs hardly more than a row and energy counts", async () => {
    const shared = sampleProfile({ name: "shared", rowMs: 0.5, fixedMs: 10, weightBytes: 1e6, nodes: 0 });
    const load = workload({ rate: 60, paths: [[1]], slo: { latencyMs: 500, percentile: 0.99 } });
    const request = planRequest({ objective: "energy", profiles: [shared], workload: load });
    const { fleet, predicted } = await makePlan(request, TOOLS);
    assert.ok((fleet.levels[0]?.batch.maxQueueDelayMs ?? 0) > 0);
    assert.ok(predicted.goodput >= 0.99);
    assert.ok((predicted.levels[0]?.meanBatch ?? 0) > 1.5, `${predicted.levels[0]?.meanBatch}`);
  });
});
