import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { main } from "../../../cli/main.ts";
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
