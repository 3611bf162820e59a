/** The identity backend. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LoadContext } from "../../../model-repo/backends/backend.ts";
import { identityBackend } from "../../../model-repo/backends/identity.ts";
import { IdentityInstance } from "../../../model-repo/backends/identity-instance.ts";
import type { ModelConfig } from "../../../model-repo/config/model-config.ts";
import { SystemClock, VirtualClock } from "../../../scheduler/clock.ts";
import { bytes, fp32, request } from "../../support/tensors.ts";

describe("IdentityInstance", () => {
  it("answers with the inputs' own memory", async () => {
    const instance = new IdentityInstance("m_0", 0, new SystemClock());
    const inputs = [fp32("INPUT0", [1, 2], [1, 2]), bytes("INPUT12", [1, 1], ["text"])];
    const { outputs } = await instance.execute([request({ inputs })]);
    assert.deepEqual(
      outputs[0]?.map(({ name }) => name),
      ["OUTPUT0", "OUTPUT12"],
    );
    outputs[0]?.forEach((output, i) => {
      assert.equal(output.data, inputs[i]?.data);
    });
    await instance.close();
  });

  it("takes as long as it was told to, and closes after the run", async () => {
    const clock = new VirtualClock();
    const instance = new IdentityInstance("m_0", 50, clock);
    const events: string[] = [];
    const run = instance.execute([request()]).then(({ timing }) => events.push(`ran ${timing.computeInferMs}`));
    const close = instance.close().then(() => events.push("closed"));
    await clock.advance(49);
    assert.deepEqual(events, []);
    await clock.advance(1);
    await Promise.all([run, close]);
    assert.deepEqual(events, ["ran 50", "closed"]);
  });
});

describe("identity backend", () => {
  const config = (overrides: object = {}) =>
    ({
      name: "m",
      max_batch_size: 4,
      input: [{ name: "INPUT0", data_type: "TYPE_FP32", dims: [2], optional: false }],
      output: [{ name: "OUTPUT0", data_type: "TYPE_FP32", dims: [2] }],
      instance_group: [{ name: "m", count: 2 }],
      parameters: { execute_delay_ms: { string_value: "10" } },
      ...overrides,
    }) as unknown as ModelConfig;

  const load = (resolved: ModelConfig, clock = new VirtualClock()) =>
    identityBackend.load({
      resolved: { config: resolved },
      version: "1",
      clock,
      maxQueuedRequests: 0,
    } as unknown as LoadContext);

  it("runs as many requests at once as it has instances", async () => {
    const clock = new VirtualClock();
    const model = await load(config(), clock);
    let answered = 0;
    for (let i = 0; i < 4; i++) {
      model.infer(request({ inputs: [fp32("INPUT0", [1, 2], [i, i])] })).then(
        () => answered++,
        () => assert.fail(),
      );
    }
    await clock.advance(10);
    assert.equal(answered, 2);
    await clock.advance(10);
    assert.equal(answered, 4);
    await model.close();
  });

  it("refuses tensors that do not pair up and delays that are no numbers", async () => {
    const output = (name: string, data_type = "TYPE_FP32") => ({ name, data_type, dims: [2] });
    const wrong: [object, RegExp][] = [
      [{ output: [output("OUTPUT1")] }, /'INPUT0' \(TYPE_FP32\) has none/],
      [{ output: [output("OUTPUT0", "TYPE_INT32")] }, /'INPUT0' \(TYPE_FP32\) has none/],
      [{ output: [output("OUTPUT0"), output("extra")] }, /'extra' has none/],
      [{ input: [], output: [] }, /at least one/],
      [{ parameters: { execute_delay_ms: { string_value: "soon" } } }, /'execute_delay_ms' is 'soon'/],
    ];
    for (const [overrides, message] of wrong) {
      await assert.rejects(load(config(overrides)), { code: "INVALID_ARGUMENT", message });
    }
  });
});
