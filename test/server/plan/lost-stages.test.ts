/**
 * Processes of stages that are killed while requests come. Needs Linux (/proc tells the processes apart, by core and by
 * size); each case starts the processes of a server, which takes some seconds.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { PlanFile } from "../../../proto/files/plan-file.ts";
import { SharedCleanup } from "../../support/temporary-files.ts";
import { type ChildProcessStatus, instanceProcesses, WITHOUT_PROC } from "../support/child-processes.ts";
import { type PlacedRepository, placedRepository } from "../support/placed-repository.ts";
import { startedServer } from "../support/started-server.ts";
import { SteadyLoad } from "../support/steady-load.ts";

/** Stages of 32 MiB, more than processes differ in size by themselves. */
const GIANT_WIDTH = 2_000;
const SMALL_COPIES = 2;

/** With a second copy of the giant's last stage on the first device. */
function withTwoLastStages(plan: PlanFile): PlanFile {
  const placements = plan.placements.map((each) => (each.stage === "giant-1" ? { ...each, share: 0.5 } : each));
  const copy = { stage: "giant-1", replica: 1, device: "core0", share: 0.5, intraOpThreads: 1 };
  const { explanation } = plan;
  return {
    ...plan,
    placements: [...placements, copy],
    explanation: { ...explanation, placements: [...explanation.placements, ""] },
  };
}

async function until(isSo: () => Promise<boolean>, limitMs = 15_000): Promise<void> {
  for (const endMs = performance.now() + limitMs; !(await isSo()); ) {
    if (performance.now() > endMs) throw new Error(`not so after ${limitMs} ms: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("a plan whose processes are lost", { skip: WITHOUT_PROC }, () => {
  let repository: PlacedRepository;
  const cleanup = new SharedCleanup();
  before(async () => {
    repository = await placedRepository(cleanup, { giantWidth: GIANT_WIDTH });
  });
  after(() => cleanup.run());

  for (const [what, plan, lost] of [
    ["its first stage", (staged: PlanFile) => staged, 0],
    ["its last stage", (staged: PlanFile) => staged, 1],
    ["one of two copies of its last stage", withTwoLastStages, 1],
  ] as const) {
    it(`loses no request when a process of ${what} is killed`, async (t) => {
      const file = await repository.write(plan(repository.staged));
      const { infer, metrics, client } = await startedServer(t, repository.models, `--plan=${file}`);
      const load = await SteadyLoad.start(infer, ["giant"]);
      const processes = await instanceProcesses(process.pid);
      const bySize = processes.toSorted((a, b) => a.dataBytes - b.dataBytes);
      const giants = bySize.slice(SMALL_COPIES);
      const victim = giants.find(({ cpus }) => cpus === repository.staged.devices[lost]?.cpus);
      assert.ok(victim, `no process to kill among ${JSON.stringify(processes)}`);
      await load.more(10);
      process.kill(victim.pid, "SIGKILL");
      await load.more(10);
      await until(async () => (await instanceProcesses(process.pid)).length === processes.length);
      await load.more(10);
      await load.end();
      const now = await instanceProcesses(process.pid);
      assert.equal(now.filter(({ pid }) => !processes.some((each) => each.pid === pid)).length, 1);
      const cores = (of: readonly ChildProcessStatus[]) => of.map(({ cpus }) => cpus).sort();
      assert.deepEqual(cores(now), cores(processes));
      assert.deepEqual(await client.call("ModelReady", { name: "giant" }), { ready: true });
      assert.match(await metrics(), /^nv_inference_request_failure\{model="giant",version="1",reason="BACKEND"\} 0$/m);
    });
  }
});
