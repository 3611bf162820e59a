import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { meanServiceMs } from "../../../planner/fleet.ts";
import { planLastLevel } from "../../../planner/plan/last-level-only.ts";
import { makePlan, type PlanTools } from "../../../planner/plan/make-plan.ts";
import { classSpeeds, cutModels, type StagedModel } from "../../../planner/plan/stage-options.ts";
import { CORE, cores, LINKS, planRequest, sampleProfile, twoLevels, workload } from "./profiles.ts";

const SMALL = sampleProfile({ name: "small", rowMs: 2, weightBytes: 1e6, nodes: 0 });
const LARGE = sampleProfile({ name: "large", rowMs: 20, weightBytes: 100e6 });
const GIANT = sampleProfile({ name: "giant", rowMs: 20, weightBytes: 215e6, isWhole: false });

/** Stages are as they were estimated, times `factor`. */
function tools(factor = 1, refusal?: string): PlanTools & { readonly measured: string[] } {
  const measured: string[] = [];
  return {
    measured,
    solver: null,
    progress: () => undefined,
    measure: async ({ name }, way) => {
      measured.push(`${name} ${way.cuts.join()}`);
      return refusal ?? slowed(way, factor);
    },
  };
}

function slowed(way: StagedModel, factor: number): StagedModel {
  const stages = way.stages.map((stage) => ({
    ...stage,
    service: new Map(
      [...stage.service].map(([name, { batchSizes, samplesMs }]) => [
        name,
        { batchSizes, samplesMs: samplesMs.map((samples) => samples.map((ms) => ms * factor)) },
      ]),
    ),
  }));
  return { ...way, stages, isMeasured: true };
}

describe("makePlan", () => {
  it("places every level and predicts what the simulator saw", async () => {
    const request = planRequest({ profiles: [SMALL, LARGE], workload: workload({ paths: twoLevels(0.2) }) });
    const made = await makePlan(request, tools());
    assert.deepEqual(
      made.fleet.levels.map(({ model }) => model),
      ["small", "large"],
    );
    // 2 ms and a fifth of 20 ms on two cores that are busy 80 % of the time: 267 requests a second by time.
    assert.ok(made.placement.mostRate > 250 && made.placement.mostRate < 275, `${made.placement.mostRate}`);
    assert.ok((made.capacity?.rate ?? 0) > 200, `${made.capacity?.rate}`);
    assert.ok(made.predicted.goodput >= 0.99);
  });

  it("cuts a giant that fits no device, and measures the cuts it chose before it relies on them", async () => {
    const request = planRequest({ profiles: [SMALL, GIANT], workload: workload({ paths: twoLevels(0.2) }) });
    const used = tools();
    const made = await makePlan(request, used);
    assert.ok((made.staged[1]?.cuts.length ?? 0) >= 1);
    assert.ok(made.staged[1]?.isMeasured);
    assert.ok(used.measured.includes(`giant ${made.staged[1]?.cuts.join()}`));
  });

  it("takes other cuts where measured stages are much slower than they were estimated", async () => {
    const whole = sampleProfile({ name: "large", rowMs: 20, weightBytes: 100e6 });
    const request = planRequest({ profiles: [SMALL, whole], workload: workload({ paths: twoLevels(0.9) }) });
    const made = await makePlan(request, tools(50));
    assert.deepEqual(made.staged[1]?.cuts, [], "the whole model is faster than its measured stages");
  });

  it("gives up a way whose stages cannot be served, says so, and fails where no way is left", async () => {
    const request = planRequest({ profiles: [SMALL, GIANT], workload: workload({ paths: twoLevels(0.2) }) });
    await assert.rejects(makePlan(request, tools(1, "its stages answer otherwise")), (error: Error) => {
      assert.match(
        error.message,
        /^nothing can be placed: .*'giant' in 2 stages is given up: its stages answer otherwise/s,
      );
      return true;
    });
  });

  it("says what a model needs that runs nowhere, whole or cut", async () => {
    const stuck = sampleProfile({ name: "stuck", rowMs: 5, weightBytes: 300e6, isWhole: false, nodes: 0 });
    const request = planRequest({ profiles: [SMALL, stuck], workload: workload({ paths: twoLevels(0.2) }) });
    await assert.rejects(
      makePlan(request, tools()),
      /model 'stuck' runs on no class of the devices, whole or cut \(on core: memory: it does not fit\)/,
    );
  });

  it("needs watts for the objective energy, and names the class that has none", async () => {
    const classes = [{ ...CORE, watts: null }];
    const profiles = [SMALL, LARGE];
    const request = planRequest({
      objective: "energy",
      classes,
      profiles,
      workload: workload({ paths: twoLevels(0.1) }),
    });
    await assert.rejects(
      makePlan(request, tools()),
      /devices\.json has no 'watts' for 'core'.*hybridserve doctor --devices/s,
    );
  });

  it("uses as few devices as the rate needs for the objective energy", async () => {
    const profiles = [SMALL, LARGE];
    const plan = (rate: number) =>
      makePlan(
        planRequest({
          objective: "energy",
          devices: cores(4),
          profiles,
          workload: workload({ rate, paths: twoLevels(0.1) }),
        }),
        tools(),
      );
    const used = ({ fleet }: Awaited<ReturnType<typeof plan>>) =>
      new Set(fleet.replicas.map(({ device }) => device)).size;
    const [low, high] = [await plan(20), await plan(400)];
    assert.equal(used(low), 1);
    assert.ok(used(high) > 1);
    assert.ok(high.predicted.goodput >= 0.99);
  });

  it("warns where the workload asks for more than there is", async () => {
    const profiles = [SMALL, LARGE];
    const made = await makePlan(
      planRequest({ profiles, workload: workload({ rate: 5000, paths: twoLevels(0.5) }) }),
      tools(),
    );
    assert.match(
      made.warnings.join(),
      /the workload asks for 5,000 requests a second; within the objective this plan takes/,
    );
    assert.ok(made.predictedRate < 5000);
  });

  it("gives the same plan for the same input", async () => {
    const request = planRequest({ profiles: [SMALL, GIANT], workload: workload({ paths: twoLevels(0.3) }) });
    const [a, b] = [await makePlan(request, tools()), await makePlan(request, tools())];
    assert.deepEqual(a.fleet, b.fleet);
    assert.deepEqual(a.predicted, b.predicted);
  });

  it("charges shadow rows to the last level", async () => {
    const profiles = [SMALL, LARGE];
    const rate = async (shadowShare: number) =>
      (await makePlan(planRequest({ profiles, workload: workload({ shadowShare, paths: twoLevels(0.05) }) }), tools()))
        .placement.mostRate;
    assert.ok((await rate(0.1)) < 0.7 * (await rate(0)));
  });
});

describe("the last level alone", () => {
  it("is planned on the same devices with the same batching", async () => {
    const request = planRequest({ profiles: [SMALL, LARGE], workload: workload({ paths: twoLevels(0.1) }) });
    const alone = await planLastLevel(request, tools());
    const cascade = await makePlan(request, tools());
    assert.deepEqual(
      alone?.made.fleet.levels.map(({ model }) => model),
      ["large"],
    );
    assert.ok((alone?.rate ?? 0) > 0 && (alone?.rate ?? 0) < (cascade.capacity?.rate ?? 0) / 2);
  });
});

describe("a class whose nodes cannot be profiled", () => {
  it("takes the shares of another's nodes, at the speed of the models that were measured there", () => {
    const card = { ...CORE, name: "card", kind: "cuda" as const };
    const on = (name: string, rowMs: number, isWhole: boolean) => {
      const { classes, ...profile } = sampleProfile({ name, rowMs, weightBytes: 200e6, isWhole });
      return { ...profile, classes: classes.map((each) => ({ ...each, class: "card" })) };
    };
    // Nodes were timed on "core"; the card takes a tenth of that for the model that it holds whole.
    const small = { ...on("small", 1, true), graph: sampleProfile({ name: "small", rowMs: 10, weightBytes: 1 }).graph };
    const giant = { ...on("giant", 40, false) };
    const speeds = classSpeeds([small, giant], [card]);
    assert.equal(speeds.get("card"), 0.1);
    const [cut] = cutModels(giant, [card], LINKS, 2, 0.9, speeds);
    const totalMs = (cut?.stages ?? []).reduce((sum, { service }) => {
      const times = service.get("card");
      return sum + (times === undefined ? Number.NaN : meanServiceMs(times, 1));
    }, 0);
    // 40 ms of nodes at a tenth, with what runs in service and two boundaries take more.
    assert.ok(totalMs > 4 && totalMs < 6, `${totalMs}`);
  });
});
