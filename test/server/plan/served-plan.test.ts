import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Log } from "../../../model-repo/log.ts";
import { PlanPlacements } from "../../../server/plan/plan-placements.ts";
import { PlanError } from "../../../server/plan/plan-problem.ts";
import { ServedPlan } from "../../../server/plan/served-plan.ts";
import { samplePlan } from "../../support/plans.ts";

function setUp() {
  const lines: string[] = [];
  const write = (_fields: object, text: string) => void lines.push(text);
  const log: Log = { info: write, warn: write, error: write };
  const disk: { plan: PlanPlacements | PlanError } = { plan: new PlanPlacements(samplePlan(), "/plans/a") };
  const open = async () => {
    if (disk.plan instanceof PlanError) throw disk.plan;
    return disk.plan;
  };
  const start = (fallback = false) => ServedPlan.start({ file: "plan.json", fallback, open, log });
  return { disk, lines, start };
}

describe("a plan model by model", () => {
  it("has every stage with its file and copies, in order", () => {
    const placement = new PlanPlacements(samplePlan(), "/plans/a").placementOf("giant", "1");
    assert.deepEqual(
      placement?.stages.map(({ id, file, copies }) => [id, file, copies.map((copy) => copy.device.id)]),
      [
        ["giant-0", "/plans/a/stages/giant-0.onnx", ["core0"]],
        ["giant-1", "/plans/a/stages/giant-1.onnx", ["core1"]],
      ],
    );
    assert.equal(placement?.golden?.file, "/plans/a/golden/giant.npz");
    assert.equal(placement?.batch.max, 4);
  });

  it("leaves other models and versions alone", () => {
    const placements = new PlanPlacements(samplePlan(), "/plans/a");
    assert.equal(placements.placementOf("giant", "2"), undefined);
    assert.equal(placements.placementOf("other", "1"), undefined);
    assert.equal(placements.cascadePlacementOf("giant"), undefined);
  });

  it("gives the cascade its point, and gears by arrival rate", () => {
    assert.deepEqual(new PlanPlacements(samplePlan(), "/plans/a").cascadePlacementOf("family"), {
      operatingPoint: "AP",
      gears: "AP@0/s,EO@150/s",
    });
  });

  it("has another fingerprint for another placement, and for that model only", () => {
    const before = new PlanPlacements(samplePlan(), "/plans/a");
    const placements = samplePlan().placements.map((each) =>
      each.stage === "giant-1" ? { ...each, device: "core0" } : each,
    );
    const after = new PlanPlacements(samplePlan({ placements }), "/plans/a");
    const fingerprint = (plan: PlanPlacements, model: string) => plan.placementOf(model, "1")?.fingerprint;
    assert.notEqual(fingerprint(before, "giant"), fingerprint(after, "giant"));
    assert.equal(fingerprint(before, "small"), fingerprint(after, "small"));
  });
});

describe("the plan that serves", () => {
  const stale = new PlanError("PLAN_STALE_MODEL", "model 'giant' changed");

  it("ends the start where it does not fit", async () => {
    const { disk, start } = setUp();
    disk.plan = stale;
    await assert.rejects(start(), /^InferenceError: PLAN_STALE_MODEL: model 'giant' changed$/);
  });

  it("is left out instead with a fallback, loudly", async () => {
    const { disk, lines, start } = setUp();
    disk.plan = stale;
    const plan = await start(true);
    assert.equal(plan.state, "default");
    assert.equal(plan.placementOf("giant", "1"), undefined);
    assert.match(lines.join(), /PLAN_STALE_MODEL: model 'giant' changed; serving without a plan/);
  });

  it("is replaced by what is on disk when read again; both plans' models are loaded anew", async () => {
    const { disk, start } = setUp();
    const plan = await start();
    const models = samplePlan().models.filter((model) => model.name === "small");
    disk.plan = new PlanPlacements(samplePlan({ models, cascade: null }), "/plans/b");
    const loads: string[][] = [];
    plan.attach(async (names) => {
      loads.push([...names].sort());
      assert.equal(plan.placementOf("giant", "1"), undefined, "the new plan is in force by then");
      return [];
    });
    await plan.replan();
    assert.deepEqual(loads, [["family", "giant", "small"]]);
    assert.equal(plan.state, "ok");
  });

  it("stays when what is on disk does not fit, and says so until it does", async () => {
    const { disk, lines, start } = setUp();
    const plan = await start();
    const good = disk.plan;
    disk.plan = stale;
    await assert.rejects(plan.replan(), /PLAN_STALE_MODEL/);
    assert.equal(plan.state, "stale");
    assert.ok(plan.placementOf("giant", "1"));
    assert.match(lines.at(-1) ?? "", /the plan in use stays/);
    disk.plan = new PlanError("PLAN_DEVICE_MISSING", "no core 9");
    await assert.rejects(plan.replan());
    assert.equal(plan.state, "invalid");
    disk.plan = good;
    await plan.replan();
    assert.equal(plan.state, "ok");
  });

  it("is in force again where a model does not load by the new one", async () => {
    const { disk, lines, start } = setUp();
    const plan = await start();
    disk.plan = new PlanPlacements(samplePlan({ models: [], cascade: null }), "/plans/b");
    const seen: boolean[] = [];
    plan.attach(async () => {
      seen.push(plan.placementOf("giant", "1") !== undefined);
      return seen.length > 1 ? [] : [{ name: "giant", reason: "Failed precondition: PLAN_STALE_MODEL: it differs;\n" }];
    });
    await assert.rejects(plan.replan(), /model 'giant' does not load as planned: .*PLAN_STALE_MODEL: it differs;$/);
    assert.deepEqual(seen, [false, true], "the models are loaded by the plan before, too");
    assert.equal(plan.state, "stale");
    assert.match(lines.at(-1) ?? "", /the plan in use stays/);
  });

  it("stays in force where loading itself breaks", async () => {
    const { disk, start } = setUp();
    const plan = await start();
    disk.plan = new PlanPlacements(samplePlan({ models: [], cascade: null }), "/plans/b");
    plan.attach(() => Promise.reject(new Error("the disk is gone")));
    await assert.rejects(plan.replan(), /the disk is gone/);
    assert.ok(plan.placementOf("giant", "1"));
  });

  it("is replaced once at a time", async () => {
    const { start } = setUp();
    const plan = await start();
    let loading = 0;
    let most = 0;
    plan.attach(async () => {
      most = Math.max(most, ++loading);
      await new Promise((resolve) => setImmediate(resolve));
      loading--;
      return [];
    });
    await Promise.all([plan.replan(), plan.replan(), plan.replan()]);
    assert.equal(most, 1);
  });

  it("is left out where a model does not load by it at the start, with a fallback only", async () => {
    const { lines, start } = setUp();
    const failures = [{ name: "giant", reason: "PLAN_STALE_MODEL: it differs" }];
    assert.equal((await start()).leaveOutAfter(failures), false);
    const plan = await start(true);
    assert.equal(plan.leaveOutAfter([{ name: "other", reason: "broken" }]), false);
    assert.equal(plan.leaveOutAfter(failures), true);
    assert.deepEqual([plan.state, plan.current], ["default", undefined]);
    assert.match(lines.at(-1) ?? "", /'giant' does not load as planned: .*it differs; serving without a plan/);
  });

  it("is read again before a client loads one of its models, and for no other", async () => {
    const { disk, start } = setUp();
    const plan = await start();
    disk.plan = stale;
    await plan.refresh("other");
    await assert.rejects(plan.refresh("giant"), /PLAN_STALE_MODEL/);
  });
});
