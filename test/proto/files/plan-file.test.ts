import assert from "node:assert/strict";
import test from "node:test";
import { PLAN_FORMAT_VERSION } from "../../../proto/files/plan-file.ts";
import { readPlanFile } from "../../../proto/files/read-plan-file.ts";
import { samplePlan } from "../../support/plans.ts";

type Json = Record<string, unknown>;

/** The sample plan as the command writes it. */
function written(): Json {
  return { formatVersion: PLAN_FORMAT_VERSION, ...JSON.parse(JSON.stringify(samplePlan())) };
}

/** The sample plan with one value replaced; undefined takes the key away. */
function changed(path: string, value: unknown): string {
  const root = written();
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  let place: Json = root;
  for (const key of keys) place = place[key] as Json; // the paths below exist
  if (value === undefined) delete place[last];
  else place[last] = value;
  return JSON.stringify(root);
}

test("a plan is read back as it was written", () => {
  assert.deepEqual(readPlanFile(JSON.stringify(written()), "plan.json"), samplePlan());
});

test("complaints name the file, the place and what is wrong", () => {
  const cases: readonly (readonly [string, unknown, RegExp])[] = [
    ["formatVersion", 2, /plan\.json: formatVersion must be 1$/],
    ["surprise", 1, /plan\.json: surprise is not a known key/],
    ["objective", "speed", /plan\.json: objective must be one of "throughput", "energy"/],
    ["provenance.algorithm", "magic", /plan\.json: provenance\.algorithm must be one of/],
    ["provenance.profileHash", "sha256:12", /plan\.json: provenance\.profileHash must be a hash/],
    ["provenance.isTimeLimited", 0, /plan\.json: provenance\.isTimeLimited must be true or false/],
    ["workload.rate", 0, /plan\.json: workload\.rate must be above 0/],
    ["workload.reach", [1], /plan\.json: workload\.reach must hold one share for each of the 2 models/],
    ["workload.paths.0", [0.9, 0.2], /plan\.json: workload\.paths\[0\] must add up to 1/],
    ["workload.slo.percentile", 1.5, /plan\.json: workload\.slo\.percentile must be a number between 0 and 1/],
    ["cascade.operatingPoint", "", /plan\.json: cascade\.operatingPoint must be a non-empty string/],
    ["devices.1.class", "gpu", /plan\.json: devices\[1\]\.class names no class; known: core/],
    ["devices.1.id", "core0", /plan\.json: devices names 'core0' twice/],
    ["models", [], /plan\.json: models must hold at least one model/],
    [
      "models.0.batch.preferred",
      [9],
      /plan\.json: models\[0\]\.batch\.preferred\[0\] must be a number between 1 and 8/,
    ],
    ["models.1.stages", [], /plan\.json: models\[1\]\.stages must name at least one stage/],
    ["models.1.numerics.golden.path", "../x.npz", /golden\.path must lie in the plan's folder/],
    ["stages.1.file.path", "/etc/passwd", /plan\.json: stages\[1\]\.file\.path must lie in the plan's folder/],
    ["stages.1.cut", { fromNode: 5, toNode: 4 }, /plan\.json: stages\[1\]\.cut\.toNode must be a number between 5/],
    ["stages.1.inputs.0.datatype", "FP31", /plan\.json: stages\[1\]\.inputs\[0\]\.datatype names no datatype: 'FP31'/],
    ["stages.1.serviceMs.0.batchSizes", [4, 1], /plan\.json: stages\[1\]\.serviceMs\[0\]\.batchSizes must ascend/],
    ["stages.1.serviceMs.0.meanMs", [4], /meanMs must hold one time for each of the 2 batch sizes/],
    ["stages.2.peakBytes", undefined, /plan\.json: stages\[2\]\.peakBytes is missing/],
    ["placements.0.share", 1.2, /plan\.json: placements\[0\]\.share must be a number between 0 and 1/],
    ["placements.0.intraOpThreads", 0.5, /plan\.json: placements\[0\]\.intraOpThreads must be a number/],
    ["gears.0.fromRate", -1, /plan\.json: gears\[0\]\.fromRate must be a number of at least 0/],
    ["prediction.latencyMs.p99", null, /plan\.json: prediction\.latencyMs\.p99 must be a number/],
    ["explanation.placements", [1], /plan\.json: explanation\.placements\[0\] must be a string/],
  ];
  for (const [path, value, complaint] of cases) {
    assert.throws(() => readPlanFile(changed(path, value), "plan.json"), complaint, path);
  }
  assert.throws(() => readPlanFile("{", "plan.json"), /plan\.json: not valid JSON/);
});

test("every key of the plan is needed", () => {
  for (const key of Object.keys(written())) {
    assert.throws(() => readPlanFile(changed(key, undefined), "plan.json"), new RegExp(`plan\\.json: ${key} `), key);
  }
});
