/**
 * Memory limits of devices are real. Needs Linux (/proc and limits of processes); the model is large enough to be told from
 * a process's own memory, so that the file takes some seconds.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { PlanFile } from "../../../proto/files/plan-file.ts";
import { SharedCleanup } from "../../support/temporary-files.ts";
import { floats } from "../../support/tensors.ts";
import { instanceProcesses, WITHOUT_PROC } from "../support/child-processes.ts";
import { inputRows, type PlacedRepository, placedRepository } from "../support/placed-repository.ts";
import { startedServer } from "../support/started-server.ts";

const GIANT_WIDTH = 3_000;
/** Four products of that width; each stage has two. */
const GIANT_BYTES = 4 * GIANT_WIDTH ** 2 * 4;

function withMemory(plan: PlanFile, memoryBytes: number): PlanFile {
  return { ...plan, classes: plan.classes.map((each) => ({ ...each, memoryBytes })) };
}

describe("devices of a plan", { skip: WITHOUT_PROC }, () => {
  let repository: PlacedRepository;
  const cleanup = new SharedCleanup();
  before(async () => {
    repository = await placedRepository(cleanup, { giantWidth: GIANT_WIDTH });
  });
  after(() => cleanup.run());

  it("hold a giant in stages that none of them can hold whole", async (t) => {
    const ample = await startedServer(t, repository.models, `--plan=${await repository.write(repository.staged)}`);
    const input = inputRows(2, 5);
    const expected = floats((await ample.infer("giant", [input])).outputs[0]);
    const bareBytes = Math.min(...(await instanceProcesses(process.pid)).map(({ dataBytes }) => dataBytes));
    await ample.server.stop();
    // A session holds its weights, and one of them twice while it loads.
    const memoryBytes = Math.round(bareBytes + 0.97 * GIANT_BYTES);
    const whole = await repository.write(withMemory(repository.whole, memoryBytes), "whole.json");
    const limit = `${(memoryBytes / 2 ** 20).toFixed(0)} MiB`;
    await assert.rejects(startedServer(t, repository.models, `--plan=${whole}`), (error: Error) => {
      assert.match(error.message, /failed to load all models \(giant: /);
      assert.ok(error.message.includes(`memory limit of ${limit}`), error.message);
      return true;
    });
    assert.deepEqual(await instanceProcesses(process.pid), [], "nothing is left of the start that failed");
    const staged = await repository.write(withMemory(repository.staged, memoryBytes), "staged.json");
    const { infer } = await startedServer(t, repository.models, `--plan=${staged}`);
    assert.deepEqual(floats((await infer("giant", [input])).outputs[0]), expected);
    const limits = (await instanceProcesses(process.pid)).map(({ memoryLimitBytes }) => memoryLimitBytes);
    assert.deepEqual([...new Set(limits)], [memoryBytes]);
  });
});
