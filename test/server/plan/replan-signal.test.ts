/** SIGHUP to `hybridserve serve --plan` as an operator sends it. Processes that load models: some seconds each. */
import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";
import { InferClient } from "../../support/infer.ts";
import { SharedCleanup } from "../../support/temporary-files.ts";
import { instanceProcesses, WITHOUT_PROC } from "../support/child-processes.ts";
import { otherNode } from "../support/other-node.ts";
import { type PlacedRepository, placedRepository } from "../support/placed-repository.ts";
import { FREE_PORTS, type ProcessOptions, ServedProcess } from "../support/served-process.ts";
import { SteadyLoad } from "../support/steady-load.ts";

const IN_USE = /the plan was read again and is in use/;
const node = otherNode();

describe("SIGHUP", () => {
  let repository: PlacedRepository;
  const cleanup = new SharedCleanup();
  before(async () => {
    repository = await placedRepository(cleanup);
  });
  after(() => cleanup.run());

  async function serve(t: TestContext, options: ProcessOptions = {}): Promise<ServedProcess> {
    const plan = await repository.write(repository.staged);
    const flags = [`--model-repository=${repository.models}`, `--plan=${plan}`, ...FREE_PORTS];
    return new ServedProcess(t, ["serve", ...flags], options);
  }

  async function replansUnderLoad(t: TestContext, options: ProcessOptions): Promise<void> {
    const server = await serve(t, options);
    const client = new InferClient(await server.port("GRPCInferenceService"));
    t.after(() => client.close());
    const load = await SteadyLoad.start((model, inputs) => client.infer(model, inputs), ["giant", "small"]);
    await load.more(5);
    await repository.write(repository.whole);
    server.child.kill("SIGHUP");
    await server.printed(IN_USE);
    await load.more(5);
    await repository.write("{");
    server.child.kill("SIGHUP");
    await server.printed(/PLAN_INVALID: .*; the plan in use stays/);
    await load.more(5);
    await load.end();
    const left = async () => (WITHOUT_PROC === false ? instanceProcesses(server.child.pid ?? 0) : []);
    const processes = await left();
    server.child.kill("SIGTERM");
    assert.deepEqual(await server.ended, { code: 0, signal: null });
    for (const { pid } of processes) assert.throws(() => process.kill(pid, 0), /ESRCH/, "no process is left behind");
  }

  it("replaces the plan under load, or keeps it; then the server ends as ever", (t) => replansUnderLoad(t, {}));

  it(
    "passes through the launcher under another Node",
    { skip: node === undefined ? "no Node but 22 on the PATH" : false },
    (t) => replansUnderLoad(t, { node: node ?? "" }),
  );

  it("counts after the start where it comes during it", async (t) => {
    const server = await serve(t);
    await server.printed(/loading: giant:1/);
    server.child.kill("SIGHUP");
    await server.printed(/Ready in/);
    await server.printed(IN_USE);
  });
});
