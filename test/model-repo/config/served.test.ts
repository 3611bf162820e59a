import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ineffectiveSettings, unservedFeatures } from "../../../model-repo/config/served.ts";
import { readConfig } from "../../support/model-configs.ts";

const ONNX = 'backend: "onnxruntime"\n';

describe("what is not served yet", () => {
  const refusals: readonly (readonly [string, string, string])[] = [
    [
      `${ONNX}max_batch_size: 8 sequence_batching { direct { } }`,
      "UNIMPLEMENTED",
      "model 'M' has sequence_batching, which is not served yet",
    ],
    [
      `platform: "ensemble" ensemble_scheduling { step { model_name: "A" } }`,
      "UNIMPLEMENTED",
      "model 'M' is an ensemble, which is not served yet",
    ],
    ['backend: "repeat"', "UNIMPLEMENTED", "model 'M' has backend 'repeat', which is not served yet"],
    [
      `${ONNX}model_transaction_policy { decoupled: true }`,
      "UNIMPLEMENTED",
      "model 'M' has a decoupled transaction policy, which is not served yet",
    ],
    [
      `${ONNX}input { name: "X" allow_ragged_batch: true }`,
      "UNIMPLEMENTED",
      "model 'M', input 'X' has allow_ragged_batch, which is not served yet",
    ],
    [`${ONNX}batch_input { }`, "UNIMPLEMENTED", "model 'M' has batch_input, which is not served yet"],
    [`${ONNX}batch_output { }`, "UNIMPLEMENTED", "model 'M' has batch_output, which is not served yet"],
    [
      `${ONNX}model_repository_agents { agents { name: "checksum" } }`,
      "UNIMPLEMENTED",
      "unable to find 'libtritonrepoagent_checksum.so' for repo agent 'checksum', which is not served",
    ],
    [
      `${ONNX}model_operations { op_library_filename: "ops.so" }`,
      "UNIMPLEMENTED",
      "model 'M' loads custom operators with model_operations, which is not served: it runs foreign code",
    ],
  ];
  for (const [config, code, text] of refusals) {
    it(`is refused: ${text}`, () => {
      const [first] = unservedFeatures(readConfig(config).config);
      assert.deepEqual([first?.code, first?.text], [code, text]);
    });
  }

  it("names the way out for a foreign backend", () => {
    const [first] = unservedFeatures(readConfig('platform: "tensorrt_plan"').config);
    assert.equal(first?.code, "UNAVAILABLE");
    assert.match(
      first.text,
      /^unable to find backend library for backend 'tensorrt', try specifying runtime on the model configuration\. .*kserve/,
    );
  });

  it("is said of settings without effect", () => {
    const { config } = readConfig(
      `${ONNX}max_batch_size: 8 dynamic_batching { priority_levels: 1 default_priority_level: 1 default_queue_policy { timeout_action: DELAY } }` +
        'model_warmup { name: "w" } response_cache { enable: true } instance_group { passive: true rate_limiter { } }',
    );
    assert.equal(ineffectiveSettings(config).length, 6);
    assert.deepEqual(ineffectiveSettings(readConfig(ONNX).config), []);
  });
});
