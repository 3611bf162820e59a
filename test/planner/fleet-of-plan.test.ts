import assert from "node:assert/strict";
import test from "node:test";
import { fleetOfPlan } from "../../planner/fleet-of-plan.ts";
import { simulate } from "../../planner/simulate/simulate.ts";
import type { ModelProfile, ProfileFile } from "../../proto/files/profile-file.ts";
import { GIANT_HASH, SMALL_HASH, samplePlan } from "../support/plans.ts";

const PLAN = samplePlan();

function profile(models: readonly ModelProfile[]): ProfileFile {
  const runtime = { onnxruntime: "1.30.0", node: "v22", providers: ["cpu"], machine: "test" };
  return { createdAt: "2026-01-01T00:00:00.000Z", runtime, models };
}

const SMALL: ModelProfile = {
  name: "small",
  version: "1",
  modelHash: SMALL_HASH,
  maxBatchSize: 8,
  weightBytes: 1,
  inputBytesPerRow: 4,
  outputBytesPerRow: 4,
  classes: [
    {
      class: "core",
      batches: [
        { batchSize: 1, serviceMs: [0.4, 0.6], peakBytes: 10, energy: { joules: 0.1, source: "test" } },
        { batchSize: 8, serviceMs: [2], peakBytes: 20, energy: { joules: 0.4, source: "test" } },
      ],
      stopped: "",
    },
  ],
  graph: null,
};
const GIANT: ModelProfile = { ...SMALL, name: "giant", modelHash: GIANT_HASH, classes: [] };

test("whole models take the profile's samples, stages the plan's means", () => {
  const fleet = fleetOfPlan(PLAN, profile([SMALL, GIANT]));
  const [small, giant] = fleet.levels;
  assert.deepEqual(small?.stages[0]?.service.get("core"), { batchSizes: [1, 8], samplesMs: [[0.4, 0.6], [2]] });
  assert.deepEqual(small?.stages[0]?.energyJ.get("core"), [0.1, 0.4]);
  assert.equal(small?.stages[0]?.id, "small-0");
  assert.deepEqual(
    giant?.stages.map((stage) => stage.service.get("core")),
    [
      { batchSizes: [1, 4], samplesMs: [[4], [10]] },
      { batchSizes: [1, 4], samplesMs: [[4], [10]] },
    ],
  );
  assert.equal(giant?.stages[0]?.outputBytesPerRow, 4);
  assert.deepEqual(giant?.batch, {
    maxBatchSize: 4,
    preferredBatchSizes: [4],
    maxQueueDelayMs: 1,
    preserveOrdering: false,
  });
  assert.deepEqual(
    fleet.replicas.map(({ level, stage, device }) => [level, stage, device]),
    [
      [0, 0, 0],
      [0, 0, 1],
      [1, 0, 0],
      [1, 1, 1],
    ],
  );
});

test("the fleet of a plan can be simulated", () => {
  const fleet = fleetOfPlan(PLAN, profile([SMALL, GIANT]));
  const routing = { kind: "paths", paths: PLAN.workload.paths } as const;
  const load = {
    ratePerSecond: 20,
    arrivals: PLAN.workload.arrivals,
    rowsPerRequest: 1,
    sloMs: 100,
    routing,
    shadowShare: 0,
  };
  assert.ok(load.arrivals.process === "poisson");
  const result = simulate(fleet, { ...load, arrivals: { process: "poisson" } }, { requests: 5_000 });
  assert.ok(result.goodput > 0.99);
});

test("a profile of other models or files is refused with what to do", () => {
  assert.throws(() => fleetOfPlan(PLAN, profile([SMALL])), /no model 'giant' version 1; profile and plan again/);
  const other = { ...GIANT, modelHash: SMALL_HASH };
  assert.throws(() => fleetOfPlan(PLAN, profile([SMALL, other])), /other files of model 'giant'/);
});
