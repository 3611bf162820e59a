import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { validateCommand } from "../../cli/validate.ts";
import { identityModel } from "../support/onnx-writer.ts";
import { temporaryFiles } from "../support/temporary-files.ts";

const LEVEL = identityModel("FP32", ["N", 10], "image", "logits");
const CASCADE_CONFIG = `backend: "cascade"
max_batch_size: 8
input { name: "image" data_type: TYPE_FP32 dims: 10 }
output { name: "logits" data_type: TYPE_FP32 dims: 10 }
parameters { key: "operating_point" value { string_value: "P" } }`;

function cascade(...models: string[]): string {
  const confidence = {
    function: "max_prob",
    kind: "logits",
    outputs: { scores: "logits" },
    params: { temperature: 1 },
  };
  return JSON.stringify({
    formatVersion: 1,
    levels: models.map((model) => ({ model, version: "1", confidence })),
    operatingPoints: [{ name: "P", gates: models.slice(1).map(() => ({ accept: 0.9, skip: [] })) }],
    default: "P",
  });
}

async function validate(argv: readonly string[]) {
  let stdout = "";
  let stderr = "";
  const code = await validateCommand.run(argv, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

/** Validates a repository of these files; paths in the output lose the temporary folder. */
async function validateFiles(t: TestContext, files: Readonly<Record<string, string | Uint8Array>>, ...argv: string[]) {
  const root = await temporaryFiles(t, files);
  const { code, stdout, stderr } = await validate(["--model-repository", root, ...argv]);
  return { code, stderr, stdout: stdout.replaceAll(`${root}/`, "").replaceAll(root, "REPO") };
}

describe("hybridserve validate", () => {
  it("finds nothing wrong with a sound repository", async (t) => {
    const { code, stdout, stderr } = await validateFiles(t, {
      "small/1/model.onnx": LEVEL,
      "large/1/model.onnx": LEVEL,
      "large/3/model.onnx": LEVEL,
      "large/config.pbtxt": "version_policy { all { } }",
      "both/config.pbtxt": CASCADE_CONFIG,
      "both/1/cascade.json": cascade("small", "large"),
      "echo/config.pbtxt":
        'backend: "identity" input { name: "INPUT0" data_type: TYPE_FP32 dims: 1 } output { name: "OUTPUT0" data_type: ' +
        "TYPE_FP32 dims: 1 }",
      "echo/1/": "",
    });
    assert.equal(
      stdout,
      `Ready to serve:
  both (cascade, version 1)
    version 1, operating point P: uncertified (it has no certificate)
  echo (identity, version 1)
  large (onnxruntime, versions 1, 3)
  small (onnxruntime, version 1)

4 models in REPO: all can be served.
`,
    );
    assert.deepEqual([code, stderr], [0, ""]);
  });

  it("lists foreign backends first, then every problem with place, text and advice", async (t) => {
    const { code, stdout } = await validateFiles(t, {
      "a-broken/config.pbtxt": "max_batch_size: 4\ninstance_group {\n  kind: KIND_GPU }",
      "a-broken/1/model.onnx": identityModel("FP32", [1, 4]),
      "b-typo/config.pbtxt": "max_batchsize: 4",
      "b-typo/1/model.onnx": LEVEL,
      "c-empty/config.pbtxt": 'backend: "onnxruntime"',
      "d-fine/config.pbtxt": "response_cache { enable: true }",
      "d-fine/1/model.onnx": LEVEL,
      "z-trt/config.pbtxt": 'name: "z-trt"\nbackend: "tensorrt" platform: "tensorrt_plan"',
      "z-trt/1/model.plan": "plan",
      "bad name/1/model.onnx": LEVEL,
    });
    assert.equal(code, 1);
    const place = (name: string) => stdout.indexOf(name);
    assert.ok(place("Cannot run here:") < place("z-trt") && place("z-trt") < place("a-broken"));
    for (const expected of [
      "    z-trt/config.pbtxt:2: unable to find backend library for backend 'tensorrt'",
      "    a-broken/config.pbtxt:1: autofill failed for model 'a-broken': model does not support batching",
      "      -> 'x' has shape [1,4]: export the model with a variable first dimension, or set max_batch_size: 0",
      "    a-broken/config.pbtxt:3: instance group a-broken_0 of model a-broken has kind KIND_GPU but no GPUs are available",
      "    failed to read text proto from b-typo/config.pbtxt: unknown field 'max_batchsize' in ModelConfig (b-typo/config.pbtxt:1)",
      "    c-empty: at least one version must be available under the version policy of model 'c-empty'",
      "  d-fine (onnxruntime, version 1)\n    note: response_cache has no effect yet",
      "Ignored, their names cannot be model names:\n  bad name",
      "5 models in REPO: 4 cannot be served, 5 problems.",
    ]) {
      assert.ok(stdout.includes(expected), `${expected}\nis not in\n${stdout}`);
    }
  });

  it("checks cascades against the repository they are in", async (t) => {
    const levels = { "small/1/model.onnx": LEVEL, "large/1/model.onnx": LEVEL };
    const failure = async (files: Readonly<Record<string, string | Uint8Array>>): Promise<string> => {
      const { code, stdout } = await validateFiles(t, { "c/config.pbtxt": CASCADE_CONFIG, ...files }, "--json");
      assert.equal(code, 1);
      const report = JSON.parse(stdout) as { models: { name: string; problems: { text: string }[] }[] };
      return report.models.find(({ name }) => name === "c")?.problems[0]?.text ?? "";
    };
    assert.match(
      await failure({ ...levels, "c/1/cascade.json": cascade("small", "huge") }),
      /^level model 'huge' is not in the repository, which has: c, large, small$/,
    );
    assert.match(
      await failure({ ...levels, "large/1/model.onnx": "broken", "c/1/cascade.json": cascade("small", "large") }),
      /^level model 'large' cannot be served: see its own problems$/,
    );
    assert.match(
      await failure({ ...levels, "c/1/cascade.json": cascade("small", "large").replaceAll('"1"', '"7"') }),
      /^level model 'small' has no version 7 under its version policy; it has: 1$/,
    );
    assert.match(await failure({ ...levels, "c/1/cascade.json": '{ "formatVersion": 2 }' }), /cascade\.json/);
    assert.match(await failure({ ...levels, "c/1/": "" }), /^unable to read the cascade's policy/);
    const narrow = identityModel("FP32", ["N", 7], "image", "logits");
    assert.notEqual(
      await failure({ ...levels, "small/1/model.onnx": narrow, "c/1/cascade.json": cascade("small", "large") }),
      "",
    );
  });

  it("finds models that are in two repositories", async (t) => {
    const roots = [
      await temporaryFiles(t, { "m/1/model.onnx": LEVEL }),
      await temporaryFiles(t, { "m/1/model.onnx": LEVEL }),
    ];
    const { code, stdout } = await validate(roots.flatMap((root) => ["--model-repository", root]));
    assert.equal(code, 1);
    assert.match(stdout, /model appears in two or more repositories/);
  });

  it("prints JSON for programs", async (t) => {
    const { code, stdout } = await validateFiles(
      t,
      { "m/config.pbtxt": "max_batch_size: -1", "m/1/model.onnx": LEVEL },
      "--json",
    );
    assert.equal(code, 1);
    const report = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual([report["formatVersion"], report["ok"]], [1, false]);
    assert.deepEqual(report["models"], [
      {
        name: "m",
        directory: "m",
        backend: "onnxruntime",
        cannotRunHere: false,
        versions: [1],
        problems: [
          {
            code: "INVALID_ARGUMENT",
            text: "'max_batch_size' must be non-negative value for m",
            place: "m/config.pbtxt:1",
            hint: "",
          },
        ],
        warnings: [],
        certificates: [],
      },
    ]);
  });

  it("says of an empty repository what a model is", async (t) => {
    const { code, stdout } = await validateFiles(t, {});
    assert.equal(code, 0);
    assert.match(stdout, /^No models in REPO: a model is a directory with config\.pbtxt or 1\/model\.onnx\.$/m);
  });

  it("tells bad usage from bad repositories", async (t) => {
    const root = await temporaryFiles(t, {});
    const none = await validate([]);
    assert.deepEqual([none.code, none.stdout], [2, ""]);
    assert.match(none.stderr, /name a repository with --model-repository DIR\nSee: hybridserve validate --help/);
    const unknown = await validate(["--model-repositry", root]);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /Unknown option '--model-repositry'; did you mean "--model-repository"\?/);
    const missing = await validate(["--model-repository", join(root, "gone")]);
    assert.deepEqual([missing.code, missing.stdout], [1, ""]);
    assert.match(missing.stderr, /^error: failed to read model repository '.*gone'/);
    const help = await validate(["--help"]);
    assert.deepEqual([help.code, help.stderr], [0, ""]);
    assert.match(help.stdout, /Example:\n {2}hybridserve validate/);
  });
});
