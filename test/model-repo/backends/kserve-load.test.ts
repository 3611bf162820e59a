/** What is asked of a remote before a model is loaded over it, against a server of ours in this process. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { ModelConfig } from "../../../model-repo/config/model-config.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { freePort, loadLevel, startRemote } from "../support/remote-level.ts";

function failure(answer: Promise<unknown>): Promise<InferenceError> {
  return answer.then(() => assert.fail("it loaded"), InferenceError.from);
}

describe("loading", () => {
  const refused = async (t: TestContext, target: string, config: Partial<ModelConfig>) =>
    failure(loadLevel(t, target, { config }));

  it("is refused with what to do while no target answers", async (t) => {
    const port = await freePort();
    const error = await failure(loadLevel(t, `127.0.0.1:${port}`));
    assert.equal(error.code, "UNAVAILABLE");
    assert.match(error.message, /^model 'm' on remote '127\.0\.0\.1:\d+': .+\. Start that server with the model, or/s);
  });

  it("is refused while the server or its model is not ready", async (t) => {
    const remote = await startRemote(t);
    remote.server.health.ready = false;
    assert.match((await failure(loadLevel(t, remote.target))).message, /the server is not ready/);
    remote.server.health.ready = true;
    const error = await failure(loadLevel(t, remote.target, { parameters: { model: "dwarf" } }));
    assert.equal(error.code, "UNAVAILABLE");
    assert.match(error.message, /'dwarf'/);
  });

  it("is refused where the remote has another model", async (t) => {
    const { target } = await startRemote(t);
    const tensor = (name: string, data_type: string, dims: number[]) => [{ name, data_type, dims }];
    const cases: [object, RegExp][] = [
      [{ input: tensor("x", "TYPE_FP32", [-1]) }, /input 'x' does not exist there; its inputs are 'INPUT0'$/],
      [{ output: tensor("OUTPUT0", "TYPE_INT8", [-1]) }, /output 'OUTPUT0' is INT8 in config.pbtxt and FP32 there$/],
      [{ input: tensor("INPUT0", "TYPE_FP32", [2, 2]) }, /has shape \[-1,2,2\] in config.pbtxt and \[-1,-1\] there/],
    ];
    for (const [config, text] of cases) {
      const error = await refused(t, target, config);
      assert.equal(error.code, "INVALID_ARGUMENT");
      assert.match(error.message, text);
    }
  });
});
