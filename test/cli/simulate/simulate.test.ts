import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { main } from "../../../cli/main.ts";
import type { NpyArray } from "../../../proto/files/npy.ts";
import { writeNpz } from "../../../proto/files/npz.ts";
import { PLAN_FORMAT_VERSION, type PlanFile } from "../../../proto/files/plan-file.ts";
import { PROFILE_FORMAT_VERSION } from "../../../proto/files/profile-file.ts";
import { GIANT_HASH, SMALL_HASH, samplePlan } from "../../support/plans.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const WATTS = { bare: 5, idle: 10, active: 30, source: "test" };

function profiled(name: string, modelHash: string, isMeasured: boolean) {
  const batch = (batchSize: number, ms: number) => ({ batchSize, serviceMs: [ms], peakBytes: 1, energy: null });
  return {
    name,
    version: "1",
    modelHash,
    maxBatchSize: 8,
    weightBytes: 1,
    inputBytesPerRow: 4,
    outputBytesPerRow: 4,
    classes: isMeasured ? [{ class: "core", batches: [batch(1, 0.5), batch(8, 2)], stopped: "" }] : [],
    graph: null,
  };
}

/** Folder with the sample plan and its profile. */
function planFolder(context: TestContext, changes: Partial<PlanFile> = {}): Promise<string> {
  const classes = samplePlan().classes.map((each) => ({ ...each, watts: WATTS }));
  const plan = { formatVersion: PLAN_FORMAT_VERSION, ...samplePlan({ classes, ...changes }) };
  const profile = {
    formatVersion: PROFILE_FORMAT_VERSION,
    createdAt: "2026-01-01T00:00:00.000Z",
    runtime: { onnxruntime: "1.30.0", node: "v22.23.3", providers: ["cpu"], machine: "test" },
    models: [profiled("small", SMALL_HASH, true), profiled("giant", GIANT_HASH, false)],
  };
  return temporaryFiles(context, { "plan.json": JSON.stringify(plan), "profile.json": JSON.stringify(profile) });
}

async function run(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = "";
  let stderr = "";
  const io = {
    stdout: (text: string) => {
      stdout += text;
    },
    stderr: (text: string) => {
      stderr += text;
    },
  };
  const code = await main(["simulate", ...argv], io);
  return { code, stdout, stderr };
}

test("a plan is played on its own workload, with the last level alone beside it", async (context) => {
  const plan = join(await planFolder(context), "plan.json");
  const { code, stdout, stderr } = await run("--plan", plan, "--requests", "5000", "--compare", "last-level-only");
  assert.equal(stderr, "");
  assert.equal(code, 0);
  assert.match(stdout, /100 requests\/s \(Poisson\) of 1 row, 99.0 % to be answered within 100 ms/);
  assert.match(stdout, /as planned .*\nlast level /);
  assert.match(stdout, /\ncore0 +core +2 /);
  assert.match(stdout, /The objective holds\./);
});

test("as JSON, the same for the same seed; more requests than fit are told", async (context) => {
  const plan = join(await planFolder(context), "plan.json");
  const flags = ["--plan", plan, "--requests", "3000", "--rate", "2000", "--json"];
  const { code, stdout } = await run(...flags);
  assert.equal(code, 0);
  const { workload, variants } = JSON.parse(stdout);
  assert.equal(workload.rate, 2000);
  assert.equal(variants.length, 1);
  assert.ok(variants[0].throughput < 1900, "the giant's stages take 20 % of 2000 rows a second at 400 rows a second");
  assert.ok(variants[0].mostRate > 100 && variants[0].mostRate < 2000);
  assert.ok(variants[0].energy.watts > 20 && variants[0].energy.watts <= 60);
  assert.equal((await run(...flags)).stdout, stdout);
  const text = await run("--plan", plan, "--requests", "3000", "--rate", "4000");
  assert.match(text.stdout, /as planned .* grows +grows +grows +grows /);
  assert.match(text.stdout, /The objective does not hold: too few requests are answered in time/);
});

test("a workload of its own: bursts, another dataflow, a trace beside it", async (context) => {
  const folder = await planFolder(context);
  const write = (content: object): string => {
    const path = join(folder, "workload.json");
    writeFileSync(path, JSON.stringify({ formatVersion: 1, rate: 40, slo: { latencyMs: 60 }, ...content }));
    return path;
  };
  const base = ["--plan", join(folder, "plan.json"), "--requests", "2000", "--json"];
  const dataflow = { levels: ["small", "giant"], reach: [1, 0.5] };
  const bursts = await run(...base, "--workload", write({ arrivals: { process: "gamma", cv: 3 }, dataflow }));
  assert.equal(bursts.stderr, "");
  const [variant] = JSON.parse(bursts.stdout).variants;
  assert.ok(Math.abs(variant.levels[1].answeredShare - 0.5) < 0.05);
  writeFileSync(join(folder, "times.txt"), "0\n5\n5\n30\n31\n60\n");
  const trace = await run(...base, "--workload", write({ arrivals: { process: "trace", file: "times.txt" } }));
  assert.equal(trace.stderr, "");
  const wrong = await run(...base, "--workload", write({ dataflow: { levels: ["small", "huge"], reach: [1, 0.5] } }));
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /dataflow\.levels are small, huge, but the plan is for small, giant/);
});

/** Two classes; the first level is sure of three rows in four. */
function recordedLevels(): Uint8Array {
  const scores = (values: number[]): NpyArray => ({
    datatype: "FP32",
    shape: [values.length / 2, 2],
    data: new Uint8Array(Float32Array.from(values).buffer),
  });
  return writeNpz(
    new Map<string, NpyArray>([
      ["level0", scores([9, 0, 9, 0, 9, 0, 1, 1])],
      ["level1", scores([9, 0, 9, 0, 9, 0, 9, 0])],
      ["labels", { datatype: "INT32", shape: [4], data: new Uint8Array(16) }],
    ]),
  );
}

/** Version 1 of the sample plan's cascade, `AP` with an accept threshold of 0.8. */
function familyCascade(pointName: string): string {
  const level = (model: string, confidence: object | null) => ({
    ...{ model, version: "1", inputs: {}, outputs: {}, labelMap: null, confidence, cost: null },
  });
  const maxProb = { function: "max_prob", kind: "logits", outputs: { scores: "logits" }, params: {} };
  const gates = [{ accept: 0.8, skip: [], hopeless: null }];
  return JSON.stringify({
    formatVersion: 1,
    levels: [level("small", maxProb), level("giant", null)],
    operatingPoints: [{ name: pointName, gates, expected: null, certificate: null }],
    thresholdPerformanceGraph: [],
    default: pointName,
    calibration: null,
  });
}

test("recorded rows take the ways of the cascade's confidences and gates", async (context) => {
  const folder = await planFolder(context);
  const repository = await temporaryFiles(context, { "family/1/cascade.json": familyCascade("AP") });
  const recorded = join(folder, "levels.npz");
  writeFileSync(recorded, recordedLevels());
  const base = ["--plan", join(folder, "plan.json"), "--requests", "4000", "--json"];
  const { stdout, stderr } = await run(...base, "--recorded", recorded, "--model-repository", repository);
  assert.equal(stderr, "");
  const [variant] = JSON.parse(stdout).variants;
  assert.ok(Math.abs(variant.levels[1].answeredShare - 0.25) < 0.03, `${variant.levels[1].answeredShare}`);
  const alone = await run(...base, "--recorded", recorded);
  assert.equal(alone.code, 2);
  assert.match(alone.stderr, /--recorded FILE and --model-repository DIR go together/);
});

test("recorded rows that do not belong to the plan are refused", async (context) => {
  const folder = await planFolder(context);
  const recorded = join(folder, "levels.npz");
  writeFileSync(recorded, recordedLevels());
  const other = await temporaryFiles(context, { "family/1/cascade.json": familyCascade("EO") });
  const flags = ["--recorded", recorded, "--model-repository", other];
  const plan = join(folder, "plan.json");
  assert.match((await run("--plan", plan, ...flags)).stderr, /cascade 'family' has no operating point 'AP'/);
  const models = join(await planFolder(context, { cascade: null }), "plan.json");
  assert.match(
    (await run("--plan", models, ...flags)).stderr,
    /is for models by themselves; --recorded is for the plan/,
  );
});

test("what cannot be simulated is told with file and place", async (context) => {
  const folder = await planFolder(context, { placements: samplePlan().placements.slice(0, 3) });
  const inconsistent = await run("--plan", join(folder, "plan.json"));
  assert.equal(inconsistent.code, 1);
  assert.match(
    inconsistent.stderr,
    /plan\.json: stage 'giant-1' is placed nowhere; make the plan anew: hybridserve plan/,
  );
  const absent = await run("--plan", join(folder, "other.json"));
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, /--plan: there is no file '.*other\.json'; hybridserve plan writes it/);
  const usage = await run("--plan", "p", "--compare", "giant-only");
  assert.equal(usage.code, 2);
  assert.match(usage.stderr, /--compare 'giant-only' must be one of last-level-only/);
  assert.match((await run("--plann", "p")).stderr, /did you mean "--plan"\?/);
  assert.match((await run("--plan", "p", "--rate", "0")).stderr, /--rate must be above 0/);
});
