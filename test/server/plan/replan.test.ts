/**
 * Another plan while requests come. Real stages, processes and polls, so that the file takes some seconds; the
 * processes are looked at in /proc, where there is one.
 */
import assert from "node:assert/strict";
import { appendFile, cp } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { levelHash } from "../../../model-repo/backends/certificate-hash.ts";
import type { PlanFile } from "../../../proto/files/plan-file.ts";
import { SharedCleanup } from "../../support/temporary-files.ts";
import { instanceProcesses, WITHOUT_PROC } from "../support/child-processes.ts";
import { inputRows, type PlacedRepository, placedRepository, planText } from "../support/placed-repository.ts";
import { type StartedServer, startedServer } from "../support/started-server.ts";
import { SteadyLoad } from "../support/steady-load.ts";

async function giantGroups({ client }: StartedServer): Promise<string[]> {
  const { instance_group } = (await client.call("ModelConfig", { name: "giant" }))["config"] as {
    instance_group: { name: string }[];
  };
  return instance_group.map(({ name }) => name);
}

async function gauge({ metrics }: StartedServer): Promise<string | undefined> {
  return /^hybridserve_placement_plan_state\{state="(\w+)"\} 1$/m.exec(await metrics())?.[1];
}

async function pids(): Promise<number[]> {
  return WITHOUT_PROC === false ? (await instanceProcesses(process.pid)).map(({ pid }) => pid) : [];
}

/** Looks again until it is so: what was replaced is closed after what replaces it serves. */
async function eventually(look: () => Promise<void>, limitMs = 10_000): Promise<void> {
  for (const endMs = performance.now() + limitMs; ; ) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() > endMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("another plan under load", () => {
  let repository: PlacedRepository;
  const cleanup = new SharedCleanup();
  before(async () => {
    repository = await placedRepository(cleanup, { weightsApart: true });
  });
  after(() => cleanup.run());

  /** A server by the staged plan, whose file is the test's own. */
  async function serve(t: TestContext, ...flags: string[]) {
    const name = `${t.name.replaceAll(/\W/g, "-")}.json`;
    const write = (plan: PlanFile | string) => repository.write(plan, name);
    const started = await startedServer(t, repository.models, `--plan=${await write(repository.staged)}`, ...flags);
    return { ...started, write };
  }

  it("takes the place of the one before; no request is lost", async (t) => {
    const started = await serve(t, "--allow-uncertified");
    const { server, write, infer } = started;
    const load = await SteadyLoad.start(infer, ["giant", "small"]);
    const staged = await pids();
    await load.more(20);
    const whole = { ...repository.whole, gears: [], cascade: { name: "family", version: "1", operatingPoint: "EO" } };
    await write(whole);
    await server.replan();
    assert.deepEqual(await giantGroups(started), ["giant-whole"]);
    await load.more(20);
    const { parameters } = await infer("family", [inputRows(1, 1)]);
    assert.equal(parameters.get("cascade_operating_point")?.value, "EO");
    if (WITHOUT_PROC === false) {
      await eventually(async () => {
        const now = await instanceProcesses(process.pid);
        assert.deepEqual(now.map(({ cpus }) => cpus).sort(), whole.devices.map(({ cpus }) => cpus).sort());
        assert.ok(now.every(({ pid }) => !staged.includes(pid)));
      });
    }
    await write(repository.staged);
    await Promise.all([server.replan(), server.replan()]);
    assert.deepEqual(await giantGroups(started), ["giant-0", "giant-1"]);
    await load.more(20);
    await load.end();
    assert.equal(await gauge(started), "ok");
  });

  it("is refused where it does not fit; the one before goes on", async (t) => {
    const started = await serve(t);
    const { server, write, infer, log } = started;
    const load = await SteadyLoad.start(infer, ["giant", "small"]);
    const before = await pids();
    await write("{");
    await assert.rejects(server.replan(), /PLAN_INVALID/);
    assert.equal(await gauge(started), "invalid");
    await write({ ...repository.whole, provenance: { ...repository.whole.provenance, onnxruntime: "1.0.0" } });
    await assert.rejects(server.replan(), /PLAN_STALE_RUNTIME/);
    assert.equal(await gauge(started), "stale");
    assert.match(await log(), /PLAN_STALE_RUNTIME: .*; the plan in use stays/);
    await load.more(5);
    assert.deepEqual(await pids(), before);
    await load.end();
  });

  it("is refused as a whole where one model does not load by it", async (t) => {
    const started = await serve(t);
    const { server, write, infer } = started;
    const load = await SteadyLoad.start(infer, ["giant", "small"]);
    const { whole } = repository;
    // The giant gets a device that has no room for a process.
    const core = whole.classes[0] ?? assert.fail();
    const tiny = { ...core, name: "tiny", memoryBytes: 8 * 2 ** 20 };
    await write({
      ...whole,
      classes: [core, tiny],
      devices: whole.devices.map((device, i) => (i === 1 ? { ...device, class: "tiny" } : device)),
      stages: whole.stages.map((stage) =>
        stage.id === "giant-whole"
          ? { ...stage, peakBytes: 1, serviceMs: stage.serviceMs.map((each) => ({ ...each, class: "tiny" })) }
          : stage,
      ),
    });
    await assert.rejects(server.replan(), /model 'giant' does not load as planned: .*memory limit of 8 MiB/s);
    assert.equal(await gauge(started), "invalid");
    assert.deepEqual(await giantGroups(started), ["giant-0", "giant-1"]);
    const { instance_group } = (await started.client.call("ModelConfig", { name: "small" }))["config"] as {
      instance_group: { count: number }[];
    };
    assert.deepEqual(
      instance_group.map(({ count }) => count),
      [2],
    );
    await load.more(5);
    await load.end();
  });

  it("comes with a client's load of one of its models", async (t) => {
    const started = await serve(t, "--model-control-mode=explicit", "--load-model=*");
    const { client, write, infer } = started;
    const load = await SteadyLoad.start(infer, ["giant", "small"]);
    await write(repository.whole);
    await client.call("RepositoryModelLoad", { model_name: "giant" });
    assert.deepEqual(await giantGroups(started), ["giant-whole"]);
    await write("{");
    const { details } = await client.failure("RepositoryModelLoad", { model_name: "giant" });
    assert.match(details, /PLAN_INVALID/);
    await load.more(5);
    assert.deepEqual(await giantGroups(started), ["giant-whole"]);
    await load.end();
    await client.call("RepositoryModelUnload", { model_name: "giant" });
    await client.call("RepositoryModelUnload", { model_name: "small" });
    if (WITHOUT_PROC === false) await eventually(async () => assert.deepEqual(await pids(), []));
  });

  it("and polls do not fight: changed model files wait for a plan that was made for them", async (t) => {
    const models = join(repository.folder, "..", "polled");
    await cp(repository.models, models, { recursive: true });
    const file = await repository.write(repository.staged, "polled.json");
    const poll = ["--model-control-mode=poll", "--repository-poll-secs=1"];
    const { server, infer, log } = await startedServer(t, models, `--plan=${file}`, ...poll);
    const load = await SteadyLoad.start(infer, ["small", "family"]);
    const before = await pids();
    const changed = join(models, "small", "1");
    // Another file with the same weights, by a field that nobody reads.
    await appendFile(join(changed, "model.onnx"), Buffer.from([0xfa, 0x7f, 0x00]));
    await eventually(async () => assert.match(await log(), /PLAN_STALE_MODEL: the files of model 'small' version 1/));
    assert.deepEqual(await pids(), before);
    const modelHash = await levelHash(changed);
    const hashed = repository.staged.models.map((model) => (model.name === "small" ? { ...model, modelHash } : model));
    await repository.write(planText({ ...repository.staged, models: hashed }), "polled.json");
    await server.replan();
    const after = await pids();
    const loads = async () => ((await log()).match(/successfully loaded 'small'/g) ?? []).length;
    assert.equal(await loads(), 2);
    await new Promise((resolve) => setTimeout(resolve, 2_500)); // two polls
    assert.equal(await loads(), 2);
    if (WITHOUT_PROC === false) {
      await eventually(async () => assert.equal((await pids()).length, before.length));
      assert.ok((await pids()).every((pid) => after.includes(pid)));
    }
    await load.end();
  });
});
