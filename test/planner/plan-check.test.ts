import assert from "node:assert/strict";
import test from "node:test";
import { checkPlan } from "../../planner/plan-check.ts";
import type { PlanFile } from "../../proto/files/plan-file.ts";
import { samplePlan } from "../support/plans.ts";

const PLAN = samplePlan();

function replaced<T>(list: readonly T[], index: number, changes: Partial<T>): T[] {
  return list.map((each, i) => (i === index ? { ...each, ...changes } : each));
}

test("a sound plan has no contradictions", () => {
  assert.deepEqual(checkPlan(PLAN), []);
});

test("every contradiction is told in one sentence", () => {
  const { models, stages, placements, devices, classes, workload, gears } = PLAN;
  const cases: readonly (readonly [Partial<PlanFile>, RegExp])[] = [
    [{ placements: replaced(placements, 0, { stage: "gone" }) }, /names stage 'gone', which the plan does not have/],
    [{ placements: replaced(placements, 0, { device: "gpu7" }) }, /names device 'gpu7', which the plan does not have/],
    [{ placements: placements.slice(0, 3) }, /stage 'giant-1' is placed nowhere/],
    [{ placements: replaced(placements, 0, { share: 0.4 }) }, /shares of stage 'small-0' add up to 0\.9, not to 1/],
    [{ placements: replaced(placements, 1, { replica: 0 }) }, /stage 'small-0' has two copies 0/],
    [{ models: replaced(models, 1, { name: "small" }) }, /model 'small' is planned twice/],
    [{ models: replaced(models, 1, { level: 2 }) }, /levels are 0, 2 instead of 0 to 1/],
    [
      { models: replaced(models, 1, { reach: 0.3 }) },
      /planned for a reach of 0\.3, but the workload's paths give 0\.2/,
    ],
    [
      { workload: { ...workload, shadowShare: 0.1 } },
      /model 'giant' is planned for a reach of 0\.2, but .* give 0\.28/,
    ],
    [{ models: replaced(models, 1, { stages: ["giant-0"] }) }, /no model lists stage 'giant-1'/],
    [{ models: replaced(models, 1, { stages: ["giant-0", "giant-1", "giant-2"] }) }, /lists stage 'giant-2', which/],
    [{ models: replaced(models, 1, { stages: ["giant-1", "giant-0"] }) }, /stage 'giant-1' is stage 0 .* says it is 1/],
    [{ models: replaced(models, 1, { numerics: null }) }, /does not say how far its answers may differ/],
    [{ stages: replaced(stages, 1, { file: null }) }, /stage 'giant-0' of the cut model 'giant' needs a file/],
    [
      { stages: replaced(stages, 0, { cut: { fromNode: 0, toNode: 3 } }) },
      /stage 'small-0' has a file or a cut, but model 'small' is not cut/,
    ],
    [
      { stages: replaced(stages, 2, { cut: { fromNode: 6, toNode: 9 } }) },
      /begins at node 6, the one before it ends at 5/,
    ],
    [
      { stages: replaced(stages, 2, { inputs: [{ name: "hidden", datatype: "FP32", shape: [1], from: "giant-1" }] }) },
      /no earlier stage/,
    ],
    [
      { stages: replaced(stages, 2, { inputs: [{ name: "other", datatype: "FP32", shape: [1], from: "giant-0" }] }) },
      /does not hand it on/,
    ],
    [
      { stages: replaced(stages, 1, { peakBytes: 190_000_000 }) },
      /device 'core0' holds 230000000 bytes \(small-0, giant-0\), .* has 200000000/,
    ],
    [
      {
        classes: [...classes, { name: "b", kind: "cpu", memoryBytes: 1e9, watts: null }],
        devices: replaced(devices, 1, { class: "b" }),
      },
      /'small-0' is placed on class 'b', where it has no times/,
    ],
    [
      { devices: replaced(devices, 1, { cpus: "0-1" }) },
      /devices 'core0' and 'core1' both have core 0 of node 'local'/,
    ],
    [{ gears: replaced(gears, 1, { fromRate: 160 }) }, /gear of point 'EO' begins at 160 .* ends at 150/],
    [{ gears: replaced(gears, 1, { toRate: 150 }) }, /gear of point 'EO' ends before it begins/],
  ];
  for (const [changes, complaint] of cases) {
    const problems = checkPlan({ ...PLAN, ...changes });
    assert.ok(
      problems.some((problem) => complaint.test(problem)),
      `${complaint}: ${JSON.stringify(problems)}`,
    );
  }
});
