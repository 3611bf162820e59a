/**
 * The planner's example at its smallest, from models to load. Writes 900 MB of models and stages and starts every command
 * as a process: a minute on a quiet machine with two cores. Times are not judged.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Outcome } from "../../examples/planner/outcome.ts";
import { readPlanFile } from "../../proto/files/read-plan-file.ts";
import { runCommand } from "../support/run-command.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** The example pins stages to two cores and limits their memory, which only Linux does. */
const SKIP = process.platform === "linux" && availableParallelism() >= 2 ? false : "needs Linux and two cores";

describe("the planner's example", { skip: SKIP }, () => {
  let folder = "";
  let outcome: Outcome;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hybridserve-planner-"));
    const script = join(ROOT, "examples/planner/run.ts");
    const run = await runCommand(process.execPath, [script, "--quick", "--json", "--folder", folder], { cwd: ROOT });
    assert.equal(run.code, 0, run.stderr);
    outcome = JSON.parse(run.stdout);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("cannot load the giant whole on one device", () => {
    assert.match(outcome.giant.refusal, /it needs more than its memory limit of 610 MiB/);
  });

  it("answers from the giant's stages, each in a process on its own core within the limit", () => {
    assert.ok(outcome.giant.stages >= 2);
    assert.equal(outcome.giant.wrongAnswers, 0);
    const giant = outcome.processes.filter(({ stage }) => stage.startsWith(`${outcome.giant.name}-`));
    assert.equal(new Set(giant.map(({ pid }) => pid)).size, outcome.giant.stages);
    assert.equal(new Set(giant.map(({ cpus }) => cpus)).size, outcome.giant.stages);
    for (const { memoryLimitMib, peakMib, cpuSeconds } of giant) {
      assert.equal(memoryLimitMib, outcome.memoryMib);
      assert.ok((peakMib ?? 0) > 0 && (peakMib ?? 0) <= outcome.memoryMib, `peak ${peakMib} MiB`);
      assert.ok(cpuSeconds > 0.1, `${cpuSeconds} s of CPU`);
    }
  });

  it("asks the cascade's giant for the hard rows only, and loses next to nothing by it", () => {
    const { operatingPoint, rightAnswers, askedRows, reach } = outcome.cascade;
    assert.equal(operatingPoint, "AP");
    // 97 of 100 rows are right by the giant alone; five points may go.
    assert.ok(rightAnswers >= 0.92 * askedRows, `${rightAnswers} of ${askedRows}`);
    assert.ok(reach > 0.2 && reach < 0.8, `reach ${reach}`);
  });

  it("predicts and measures throughput and latency", () => {
    assert.ok(outcome.predictedThroughput > 0);
    const { saturation, load } = outcome;
    for (const figures of [load.predicted, load.measured]) {
      assert.ok(figures.throughput > 0 && figures.p50 > 0 && figures.p50 <= figures.p95 && figures.p95 <= figures.p99);
    }
    assert.ok(saturation.predicted >= outcome.predictedThroughput, JSON.stringify(saturation));
    assert.ok(saturation.measured > 0);
  });

  it("leaves plan, profile and report, and takes the large files away", async () => {
    assert.equal(outcome.report, join(folder, "plan", "report.html"));
    assert.match(await readFile(outcome.report, "utf8"), /<html/);
    const file = join(folder, "plan", "plan.json");
    const { models } = readPlanFile(await readFile(file, "utf8"), file);
    assert.deepEqual(
      models.map(({ name }) => name),
      ["bert-tiny", outcome.giant.name],
    );
    const names = await readdir(folder);
    assert.ok(!names.includes("models") && !names.includes("cache"), names.join(" "));
    assert.ok(!(await readdir(join(folder, "plan"))).includes("stages"));
  });
});
