import assert from "node:assert/strict";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { checkModelFile, findModelFile } from "../../../model-repo/config/model-file.ts";
import { type ResolveOptions, resolveModelConfig } from "../../../model-repo/config/resolve.ts";
import { toSignature } from "../../../model-repo/config/signature.ts";
import { addModel, externalTensor, identityModel, onnxModel, tensorInfo } from "../../support/onnx-writer.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const BATCHED = identityModel("FP32", ["N", 4]);

/** Resolves the model M of a folder with these files. */
async function resolveFiles(
  context: Pick<TestContext, "after">,
  files: Readonly<Record<string, string | Uint8Array>>,
  options: Partial<ResolveOptions> = {},
) {
  const root = await temporaryFiles(context, Object.fromEntries(Object.entries(files).map(([p, c]) => [`M/${p}`, c])));
  const directory = join(root, "M");
  return {
    directory,
    resolved: resolveModelConfig({ directory, autoComplete: true, defaultMaxBatchSize: 4, ...options }),
  };
}

describe("resolveModelConfig", () => {
  it("needs no configuration for an ONNX model", async (t) => {
    const { resolved, directory } = await resolveFiles(t, { "1/model.onnx": BATCHED });
    const { config, versions, labels, warnings, lineOf } = await resolved;
    assert.equal(config.name, "M");
    assert.equal(config.backend, "onnxruntime");
    assert.equal(config.platform, "onnxruntime_onnx");
    assert.equal(config.max_batch_size, 4);
    assert.deepEqual(config.dynamic_batching?.preferred_batch_size, [4]);
    assert.deepEqual(config.input[0]?.dims, [4]);
    assert.deepEqual([versions, [...labels], warnings, lineOf("name")], [[1], [], [], undefined]);
    await checkModelFile(await resolved, join(directory, "1"));
    assert.deepEqual(toSignature(config, "1"), {
      name: "M",
      version: "1",
      maxBatchSize: 4,
      inputs: [{ name: "x", datatype: "FP32", dims: [4], optional: false }],
      outputs: [{ name: "y", datatype: "FP32", dims: [4] }],
    });
  });

  it("completes from the version that will serve", async (t) => {
    const files = {
      "1/model.onnx": identityModel("FP32", ["N", 1]),
      "2/model.onnx": identityModel("FP32", ["N", 2]),
      "10/model.onnx": identityModel("FP32", ["N", 10]),
    };
    const dims = async (config?: string): Promise<readonly number[] | undefined> => {
      const { resolved } = await resolveFiles(t, config === undefined ? files : { ...files, "config.pbtxt": config });
      return (await resolved).config.input[0]?.dims;
    };
    assert.deepEqual(await dims(), [10]);
    assert.deepEqual(await dims("version_policy { specific { versions: [ 2, 11 ] } }"), [2]);
  });

  it("does not batch with a complete configuration that does not say so", async (t) => {
    const text = `max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: 4 }
output { name: "y" data_type: TYPE_FP32 dims: 4 }`;
    const { resolved } = await resolveFiles(t, { "config.pbtxt": text, "1/model.onnx": BATCHED });
    assert.equal((await resolved).config.dynamic_batching, undefined);
  });

  it("checks preferred sizes before auto-complete raises the batch size, as Triton", async (t) => {
    const text = "dynamic_batching {\n  preferred_batch_size: 4 }";
    const { resolved, directory } = await resolveFiles(t, { "config.pbtxt": text, "1/model.onnx": BATCHED });
    await assert.rejects(resolved, {
      code: "INVALID_ARGUMENT",
      message: `dynamic batching preferred size must be <= max batch size for M (${directory}/config.pbtxt:2)`,
    });
  });

  it("completes nothing where that is switched off", async (t) => {
    const files = { "1/model.onnx": BATCHED };
    const off = { autoComplete: false };
    await assert.rejects((await resolveFiles(t, files, off)).resolved, {
      code: "NOT_FOUND",
      message: /^failed to open text file for read .*config\.pbtxt: No such file or directory$/,
    });
    const given = await resolveFiles(t, { ...files, "config.pbtxt": 'backend: "onnxruntime"' }, off);
    const resolved = await given.resolved;
    assert.deepEqual(resolved.config.input, []);
    await assert.rejects(checkModelFile(resolved, join(given.directory, "1")), {
      message: "unable to load model 'M', configuration expects 0 inputs, model provides 1",
    });
  });

  it("reads configs/<name>.pbtxt where it is asked for and exists", async (t) => {
    const files = {
      "config.pbtxt": "max_batch_size: 2",
      "configs/large.pbtxt": "max_batch_size: 64",
      "1/model.onnx": BATCHED,
    };
    for (const [configName, size] of [
      ["large", 64],
      ["small", 2],
    ] as const) {
      const { resolved } = await resolveFiles(t, files, { configName });
      assert.equal((await resolved).config.max_batch_size, size);
    }
  });

  it("takes an override in the file's place", async (t) => {
    const files = { "config.pbtxt": "this is no configuration", "1/model.onnx": BATCHED };
    const { resolved } = await resolveFiles(t, files, { override: '{"max_batch_size": 16}' });
    assert.equal((await resolved).config.max_batch_size, 16);
    await assert.rejects((await resolveFiles(t, files, { override: '{"max_batch_size": -1}' })).resolved, {
      message: "'max_batch_size' must be non-negative value for M",
    });
    await assert.rejects((await resolveFiles(t, files, { override: '{"nope": 1}' })).resolved, {
      code: "INVALID_ARGUMENT",
      message: /^Invalid config override: .*unknown field: "nope"/,
    });
    await assert.rejects((await resolveFiles(t, files, { override: `"${"x".repeat(2 ** 20)}"` })).resolved, {
      message: /^Invalid config override: it is larger than/,
    });
  });

  it("bounds the file's size", async (t) => {
    const text = `# ${"x".repeat(1024 * 1024)}`;
    const { resolved } = await resolveFiles(t, { "config.pbtxt": text, "1/model.onnx": BATCHED });
    await assert.rejects(resolved, {
      code: "INVALID_ARGUMENT",
      message: /config\.pbtxt has 1048578 bytes; the limit is/,
    });
  });

  it("lists version directories and says which directories are none", async (t) => {
    const { resolved } = await resolveFiles(t, {
      "2/model.onnx": BATCHED,
      "10/model.onnx": BATCHED,
      "007/model.onnx": BATCHED,
      "0/": "",
      "backup/": "",
      "warmup/": "",
      "initial_state/": "",
      "configs/": "",
      ".git/": "",
      "3": "a file",
    });
    const { versions, warnings } = await resolved;
    assert.deepEqual(versions, [2, 10]);
    assert.deepEqual(warnings.map((warning) => /'(.*)'/.exec(warning)?.[1]).sort(), ["0", "007", "backup"]);
  });

  it("needs the tensors of models that have no model file", async (t) => {
    for (const backend of ["identity", "cascade"]) {
      const { resolved } = await resolveFiles(t, { "config.pbtxt": `backend: "${backend}"`, "1/": "" });
      await assert.rejects(resolved, {
        message: "model 'M' must list its inputs in config.pbtxt: no model file says them",
      });
    }
  });

  it("does not look for versions of a model that has none, and reads what is not served", async (t) => {
    const { resolved } = await resolveFiles(t, { "config.pbtxt": 'platform: "onnxruntime_onnx"' });
    assert.deepEqual((await resolved).versions, []);
    const foreign = await resolveFiles(t, {
      "config.pbtxt": 'backend: "tensorrt" platform: "tensorrt_plan"',
      "1/": "",
    });
    assert.equal((await foreign.resolved).config.default_model_filename, "model.plan");
  });

  it("reports what is wrong with the model file it needs", async (t) => {
    const empty = await resolveFiles(t, { "config.pbtxt": 'backend: "onnxruntime"', "1/": "" });
    await assert.rejects(empty.resolved, {
      code: "UNAVAILABLE",
      message: `unable to find '${empty.directory}/1/model.onnx' for model instance 'M_0'`,
    });
    const broken = await resolveFiles(t, { "1/model.onnx": "nonsense" });
    await assert.rejects(broken.resolved, { code: "INVALID_ARGUMENT", message: /is not a valid ONNX model/ });
    const escaping = onnxModel({
      nodes: [],
      inputs: [tensorInfo("x", "FP32", [1])],
      outputs: [tensorInfo("y", "FP32", [1])],
      initializers: [externalTensor("w", "FP32", [1], { location: "../../secret" })],
    });
    await assert.rejects((await resolveFiles(t, { "1/model.onnx": escaping })).resolved, {
      message:
        /^refused '\.\.\/\.\.\/secret', the external data of tensor 'w' in '.*model\.onnx': the path contains '\.\.'/,
    });
  });

  it("rejects for a directory that is not there", async () => {
    const missing = resolveModelConfig({ directory: "/nonexistent/M", autoComplete: true, defaultMaxBatchSize: 4 });
    await assert.rejects(missing, {
      code: "NOT_FOUND",
      message: /cannot read the model's directory '\/nonexistent\/M'/,
    });
  });
});

describe("labels", () => {
  const config = (file: string) => `backend: "onnxruntime"
input { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1, 4 ]
  label_filename: "${file}" }`;

  it("are read one a line", async (t) => {
    const files = {
      "config.pbtxt": config("labels/y.txt"),
      "labels/y.txt": "cat\r\ndog\n\nbird\n",
      "1/model.onnx": BATCHED,
    };
    const { labels, warnings } = await (await resolveFiles(t, files)).resolved;
    assert.deepEqual([...labels], [["y", ["cat", "dog", "", "bird"]]]);
    assert.match(warnings[0] ?? "", /directory 'labels' is ignored/);
  });

  it("stay inside the model's directory", async (t) => {
    for (const file of ["../secret.txt", "/etc/hostname", "a/../../secret.txt"]) {
      const { resolved } = await resolveFiles(t, {
        "config.pbtxt": config(file),
        "../secret.txt": "s",
        "1/model.onnx": BATCHED,
      });
      await assert.rejects(resolved, (error: Error) => {
        assert.ok(
          error.message.startsWith(`label file '${file}' of output 'y' of model 'M' escapes the model's directory`),
        );
        assert.match(error.message, /config\.pbtxt:4\)$/);
        return true;
      });
    }
    const files = { "config.pbtxt": 'backend: "onnxruntime"', "../secret.txt": "s", "1/model.onnx": BATCHED };
    const { directory } = await resolveFiles(t, files);
    await symlink(join(directory, "..", "secret.txt"), join(directory, "link.txt"));
    const override = JSON.stringify({
      backend: "onnxruntime",
      output: [{ name: "y", data_type: "TYPE_FP32", dims: [4], label_filename: "link.txt" }],
      max_batch_size: 4,
    });
    const linked = resolveModelConfig({ directory, override, autoComplete: true, defaultMaxBatchSize: 4 });
    await assert.rejects(linked, { message: /escapes the model's directory: it is a link to '.*secret\.txt'/ });
  });

  it("that are missing are named with the line that asks for them", async (t) => {
    const { resolved } = await resolveFiles(t, { "config.pbtxt": config("gone.txt"), "1/model.onnx": BATCHED });
    await assert.rejects(resolved, { message: /label file 'gone\.txt' of output 'y'.*ENOENT.*config\.pbtxt:4\)$/ });
  });
});

describe("findModelFile", () => {
  it("looks for the file, then inside the directory of its name", async (t) => {
    const { directory, resolved } = await resolveFiles(t, { "1/model.onnx/model.onnx": addModel("FP32", ["N", 1]) });
    const { config } = await resolved;
    assert.equal(config.input.length, 2);
    assert.equal(await findModelFile(config, join(directory, "1")), join(directory, "1", "model.onnx", "model.onnx"));
    const named = await resolveFiles(t, {
      "config.pbtxt": 'backend: "onnxruntime" default_model_filename: "net.onnx"',
      "1/net.onnx": BATCHED,
    });
    const found = await findModelFile((await named.resolved).config, join(named.directory, "1"));
    assert.equal(found, join(named.directory, "1", "net.onnx"));
  });
});
