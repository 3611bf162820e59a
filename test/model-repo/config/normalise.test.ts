import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { completeBackend } from "../../../model-repo/config/normalise.ts";
import { readConfig, readWritten } from "../../support/model-configs.ts";

const ONNX = 'backend: "onnxruntime"\n';

describe("normalisation", () => {
  it("fills in what Triton's ModelConfig shows", () => {
    const { config } = readConfig(
      `${ONNX}max_batch_size: 8 dynamic_batching { } instance_group [ { }, { name: "mine" count: 3 } ]`,
    );
    assert.equal(config.name, "M");
    assert.equal(config.platform, "onnxruntime_onnx");
    assert.equal(config.default_model_filename, "model.onnx");
    assert.deepEqual(config.version_policy, { latest: { num_versions: 1 } });
    assert.deepEqual(config.dynamic_batching?.preferred_batch_size, [8]);
    assert.deepEqual(config.optimization?.input_pinned_memory, { enable: true });
    assert.deepEqual(config.optimization?.output_pinned_memory, { enable: true });
    assert.deepEqual(
      config.instance_group.map(({ name, kind, count }) => [name, kind, count]),
      [
        ["M_0", "KIND_CPU", 1],
        ["mine", "KIND_CPU", 3],
      ],
    );
  });

  it("names the only group after the model, keeps what is given, and spares ensembles", () => {
    assert.deepEqual(
      readConfig(ONNX).config.instance_group.map(({ name }) => name),
      ["M"],
    );
    const { config } = readConfig(
      `${ONNX}version_policy { all { } } optimization { graph { level: 1 } input_pinned_memory { enable: false } }`,
    );
    assert.deepEqual(config.version_policy, { all: {} });
    assert.deepEqual(config.optimization?.graph, { level: 1 });
    assert.deepEqual(config.optimization?.input_pinned_memory, { enable: false });
    const ensemble = readConfig(`platform: "ensemble" ensemble_scheduling { step { model_name: "A" } }`).config;
    assert.deepEqual([ensemble.optimization, ensemble.instance_group], [undefined, []]);
    const sequence = readConfig(`${ONNX}max_batch_size: 8 sequence_batching { oldest { } }`).config.sequence_batching;
    assert.deepEqual(
      [sequence?.max_sequence_idle_microseconds, sequence?.oldest?.preferred_batch_size],
      [1_000_000, [8]],
    );
  });

  it("tells the backend from platform, file name, directory or model name", () => {
    const backendOf = (text: string, files: string[], directoryName = "M"): string => {
      return completeBackend(readWritten(text).config, { directoryName, versionFiles: new Set(files) }).backend;
    };
    assert.equal(backendOf("", ["model.onnx"]), "onnxruntime");
    assert.equal(backendOf("", ["model.plan", "model.onnx"]), "tensorrt");
    assert.equal(backendOf("", ["model.pt"]), "pytorch");
    assert.equal(backendOf("", ["cascade.json"]), "cascade");
    assert.equal(backendOf('default_model_filename: "model.onnx"', ["other"]), "onnxruntime");
    assert.equal(backendOf('platform: "tensorflow_savedmodel"', []), "tensorflow");
    assert.equal(backendOf('backend: "identity"', ["model.onnx"]), "identity");
    assert.equal(backendOf("", ["weights.bin"], "model.custom"), "custom");
    assert.equal(backendOf("", ["weights.bin"]), "");
  });
});
