/** Configurations of `kserve` models, written from what their server says. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { describeRemoteModel, remoteConfigText } from "../../../model-repo/backends/kserve-describe.ts";
import type { RemoteMetadata } from "../../../model-repo/backends/kserve-metadata.ts";
import { InferenceError } from "../../../proto/errors.ts";

const METADATA: RemoteMetadata = {
  name: "giant",
  versions: ["3"],
  platform: "",
  inputs: [
    { name: "image", datatype: "FP32", shape: ["-1", "1", "28"] },
    { name: "hint", datatype: "BYTES", shape: ["-1", "1"] },
  ],
  outputs: [{ name: "logits", datatype: "FP16", shape: ["-1", "10"] }],
};

describe("the configuration of a described model", () => {
  it("has the server's batch size and none of the optional inputs", () => {
    const remote = { max_batch_size: 32, input: [{ name: "hint", optional: true }] };
    assert.equal(
      remoteConfigText("gpu:8001", "giant", "3", METADATA, remote),
      [
        'name: "giant"',
        'backend: "kserve"',
        "max_batch_size: 32",
        'input { name: "image" data_type: TYPE_FP32 dims: [ 1, 28 ] }',
        'output { name: "logits" data_type: TYPE_FP16 dims: [ 10 ] }',
        'parameters { key: "target" value: { string_value: "gpu:8001" } }',
        'parameters { key: "model" value: { string_value: "giant" } }',
        'parameters { key: "version" value: { string_value: "3" } }',
        "",
      ].join("\n"),
    );
  });

  it("keeps the whole shapes of a model that does not batch", () => {
    const text = remoteConfigText("gpu:8001", "giant", "", METADATA, { max_batch_size: 0, input: [] });
    assert.match(text, /max_batch_size: 0\ninput \{ name: "image" data_type: TYPE_FP32 dims: \[ -1, 1, 28 \] \}/);
    assert.match(text, /input \{ name: "hint" data_type: TYPE_STRING dims: \[ -1, 1 \] \}/);
    assert.doesNotMatch(text, /version/);
  });

  it("tells from the shapes whether a server without ModelConfig batches", () => {
    assert.match(remoteConfigText("gpu:8001", "giant", "", METADATA, undefined), /max_batch_size: 8\n/);
    const fixed = { ...METADATA, outputs: [{ name: "logits", datatype: "FP16", shape: ["10"] }] };
    assert.match(remoteConfigText("gpu:8001", "giant", "", fixed, undefined), /max_batch_size: 0\n.*\n.*\n.*\[ 10 \]/);
  });

  it("is refused for datatypes that nobody knows here, and for a target that is none", async () => {
    const strange = { ...METADATA, inputs: [{ name: "image", datatype: "FP8", shape: ["-1"] }] };
    const text = /input 'image' has datatype 'FP8', which is not known here/;
    assert.throws(() => remoteConfigText("gpu:8001", "giant", "", strange, undefined), text);
    await assert.rejects(describeRemoteModel("http://gpu", "giant"), (error: unknown) => {
      return error instanceof InferenceError && /expected host:port/.test(error.message);
    });
  });
});
