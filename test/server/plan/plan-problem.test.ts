import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PlanFile } from "../../../proto/files/plan-file.ts";
import { type PlanFacts, planProblem } from "../../../server/plan/plan-problem.ts";
import { GIANT_HASH, GOLDEN_HASH, PROFILE_HASH, SMALL_HASH, STAGE_HASHES, samplePlan } from "../../support/plans.ts";

const OTHER_HASH = `sha256:${"0".repeat(64)}`;

function facts(overrides: Partial<PlanFacts> = {}): PlanFacts {
  return {
    onnxruntime: "1.30.0",
    cores: new Set([0, 1]),
    memoryBytes: 1e9,
    cudaProblem: "no provider",
    nodes: new Set(["local", "here"]),
    modelHashes: new Map([
      ["small/1", SMALL_HASH],
      ["giant/1", GIANT_HASH],
      ["family/1", OTHER_HASH],
    ]),
    fileHashes: new Map([
      ["stages/giant-0.onnx", STAGE_HASHES[0]],
      ["stages/giant-1.onnx", STAGE_HASHES[1]],
      ["golden/giant.npz", GOLDEN_HASH],
    ]),
    profileHash: PROFILE_HASH,
    ...overrides,
  };
}

function withDevice(change: Partial<PlanFile["devices"][number]>): PlanFile {
  const plan = samplePlan();
  return { ...plan, devices: plan.devices.map((device, i) => (i === 1 ? { ...device, ...change } : device)) };
}

function withModelHash(name: string, modelHash: string): PlanFile {
  const plan = samplePlan();
  return { ...plan, models: plan.models.map((model) => (model.name === name ? { ...model, modelHash } : model)) };
}

/** As the repository hashes all files of a version. */
function filesHash(digit: string): string {
  return `sha256:files:${digit.repeat(64)}`;
}

describe("a plan and the place where it is served", () => {
  it("fits where everything is as it was", () => {
    assert.equal(planProblem(samplePlan(), facts()), undefined);
    assert.equal(planProblem(samplePlan(), facts({ profileHash: undefined })), undefined);
  });

  const refusals: readonly [string, PlanFile, PlanFacts, RegExp][] = [
    [
      "another runtime",
      samplePlan(),
      facts({ onnxruntime: "1.31.0" }),
      /^PLAN_STALE_RUNTIME: the plan was measured with onnxruntime 1\.30\.0, this is 1\.31\.0; .*hybridserve plan --output plan/,
    ],
    [
      "another profile beside it",
      samplePlan(),
      facts({ profileHash: OTHER_HASH }),
      /^PLAN_STALE_PROFILE: .*sha256:ffffffffffff\.\.\..*sha256:000000000000\.\.\.; make the plan anew: hybridserve plan --output plan/,
    ],
    [
      "another model",
      samplePlan(),
      facts({ modelHashes: new Map([["small/1", SMALL_HASH]]).set("giant/1", OTHER_HASH) }),
      /^PLAN_STALE_MODEL: model 'giant' version 1: the plan expects sha256:files:aaaaaaaaaaaa\.\.\., its files are sha256:000000000000\.\.\.; profile it again \(hybridserve profile --model giant\)/,
    ],
    [
      "another model, by the hash of its version's files",
      withModelHash("giant", filesHash("1")),
      facts({ modelHashes: new Map([["small/1", SMALL_HASH]]).set("giant/1", filesHash("2")) }),
      /^PLAN_STALE_MODEL: model 'giant' version 1: the plan expects sha256:files:111111111111\.\.\., its files are sha256:files:222222222222\.\.\.;/,
    ],
    [
      "a model that is gone",
      samplePlan(),
      facts({ modelHashes: new Map([["small/1", SMALL_HASH]]) }),
      /^PLAN_STALE_MODEL: model 'giant' version 1: .*the repository has no files of it/,
    ],
    [
      "a cascade that is gone",
      samplePlan(),
      facts({
        modelHashes: new Map([
          ["small/1", SMALL_HASH],
          ["giant/1", GIANT_HASH],
        ]),
      }),
      /^PLAN_STALE_MODEL: cascade 'family' version 1: the repository has no files of it; make the plan anew/,
    ],
    [
      "a stage file that is another",
      samplePlan(),
      facts({ fileHashes: new Map([["stages/giant-0.onnx", OTHER_HASH]]) }),
      /^PLAN_STALE_MODEL: the plan's file 'stages\/giant-0\.onnx' is sha256:000000000000/,
    ],
    [
      "a stage file that is missing",
      samplePlan(),
      facts({ fileHashes: new Map() }),
      /^PLAN_STALE_MODEL: the plan's file 'stages\/giant-0\.onnx' is missing/,
    ],
    [
      "cores that this process may not use",
      withDevice({ cpus: "1-3" }),
      facts(),
      /^PLAN_DEVICE_MISSING: device 'core1' needs cores 1-3; this process may not use core 2, 3; .*hybridserve doctor --devices/,
    ],
    [
      "a device of another machine",
      withDevice({ node: "rack7" }),
      facts(),
      /^PLAN_DEVICE_MISSING: device 'core1' is on node 'rack7', this is local or here/,
    ],
    [
      "more memory than there is",
      samplePlan(),
      facts({ memoryBytes: 3e8 }),
      /^PLAN_DEVICE_MISSING: the plan's CPU devices have 0\.4 GiB of memory together, this machine has 0\.3 GiB/,
    ],
    [
      "CUDA where there is none",
      { ...samplePlan(), classes: [{ name: "core", kind: "cuda", memoryBytes: 1e9, watts: null }] },
      facts(),
      /^PLAN_DEVICE_MISSING: device 'core0' needs CUDA: no provider/,
    ],
  ];
  for (const [what, plan, found, text] of refusals) {
    it(`is refused over ${what}`, () => {
      const problem = planProblem(plan, found);
      assert.match(problem?.message ?? "it was accepted", text);
      assert.equal(problem?.planCode, problem?.message.split(":")[0]);
    });
  }

  it("needs only the devices that it places something on", () => {
    const plan = withDevice({ cpus: "63" });
    const placements = plan.placements.map((placement) => ({ ...placement, device: "core0" }));
    assert.equal(planProblem({ ...plan, placements }, facts()), undefined);
  });
});
