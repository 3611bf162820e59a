/** Stage files of a plan, through the real runtime: each job is a process of its own, so these tests take seconds. */
import assert from "node:assert/strict";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { type WriteStagesOptions, writeStages } from "../../../cli/plan/write-stages.ts";
import { encoder, row, tokens, WIDTH } from "../../model-repo/graph/models.ts";
import { intAttribute, node, onnxModel, tensorInfo } from "../../support/onnx-writer.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

async function optionsFor(
  context: TestContext,
  model: Uint8Array,
  overrides: Partial<WriteStagesOptions> = {},
): Promise<WriteStagesOptions> {
  const folder = await temporaryFiles(context, { "1/model.onnx": model });
  return {
    modelPath: join(folder, "1", "model.onnx"),
    optimisation: "extended",
    graphHash: "",
    cuts: [20, 40],
    feed: tokens(),
    directory: join(folder, "plan", "m"),
    stageIds: ["m.0", "m.1", "m.2"],
    stageLevel: "disabled",
    ...overrides,
  };
}

describe("writeStages", () => {
  it("writes files that give what the whole model gives and says what they take from whom", async (context) => {
    const options = await optionsFor(context, encoder(2));
    const { stages, weights, externalDataDirectory, expected, differences } = await writeStages(options);
    assert.deepEqual(differences, [{ name: "y", isBitIdentical: true, maxAbs: 0 }]);
    assert.deepEqual([weights, externalDataDirectory], [null, null]);
    assert.deepEqual([expected[0]?.name, expected[0]?.shape], ["y", [2, 50]]);
    assert.deepEqual(await readdir(options.directory), ["m.0.onnx", "m.1.onnx", "m.2.onnx"]);
    const [first, , last] = stages;
    assert.deepEqual(first?.cut, { fromNode: 0, toNode: 20 });
    const ids = first?.inputs.find((input) => input.name === "ids");
    assert.deepEqual(ids, { name: "ids", datatype: "INT64", shape: [-1, -1], from: "" });
    assert.ok(
      last?.inputs.some((input) => input.from === "m.0"),
      "a tensor skips the second stage",
    );
    assert.ok(last?.inputs.some((input) => input.from === "m.1"));
    assert.deepEqual(last?.outputs, [{ name: "y", datatype: "FP32", shape: [-1, 50], from: "m.2" }]);
    for (const stage of stages) assert.match(stage.file?.hash ?? "", /^sha256:[0-9a-f]{64}$/);
    const again = await writeStages(options);
    assert.deepEqual(again.stages, stages, "the same model gives the same files");
  });

  it("puts weights into one file beside the stages where asked to", async (context) => {
    const options = await optionsFor(context, encoder(2), { weightsFile: "weights.bin", stageLevel: "all" });
    const { weights, externalDataDirectory, differences } = await writeStages(options);
    assert.equal(weights?.path, "weights.bin");
    assert.equal(externalDataDirectory, options.directory);
    assert.ok(differences.every((output) => output.maxAbs < 1e-4));
    assert.deepEqual((await readdir(options.directory)).sort(), ["m.0.onnx", "m.1.onnx", "m.2.onnx", "weights.bin"]);
    assert.ok((await stat(join(options.directory, "weights.bin"))).size > 20_000);
    for (const id of options.stageIds) {
      assert.ok((await stat(join(options.directory, `${id}.onnx`))).size < 10_000);
    }
  });

  it("writes no file of weights where all are small", async (context) => {
    const values = { inputs: [tensorInfo("x", "FP32", [1, WIDTH])], outputs: [tensorInfo("y", "FP32", [1, WIDTH])] };
    const model = onnxModel({ nodes: [node("Tanh", ["x"], ["a"]), node("Exp", ["a"], ["y"])], ...values });
    const options = await optionsFor(context, model, { feed: row(), cuts: [1], stageIds: ["a", "b"] });
    const { weights, stages } = await writeStages({ ...options, weightsFile: "weights.bin" });
    assert.equal(weights, null);
    assert.equal(stages.length, 2);
  });

  it("refuses another graph than the profiled one and cuts that are none", async (context) => {
    const options = await optionsFor(context, encoder(1), { graphHash: `sha256:${"0".repeat(64)}` });
    await assert.rejects(writeStages(options), {
      code: "FAILED_PRECONDITION",
      message:
        /is optimised to another graph \(sha256:[0-9a-f]+\) than the profile's .*run 'hybridserve profile' again$/,
    });
    for (const cuts of [[0], [5, 5], [1_000]]) {
      await assert.rejects(writeStages({ ...options, graphHash: "", cuts }), {
        code: "FAILED_PRECONDITION",
        message: /has no cut at (0|5|1000): cuts ascend between 1 and \d+$/,
      });
    }
  });

  it("refuses cuts that a sequence crosses", async (context) => {
    const nodes = [
      node("SequenceConstruct", ["x", "x"], ["pair"]),
      node("SequenceLength", ["pair"], ["length"]),
      node("Cast", ["length"], ["y"], [intAttribute("to", 1)]),
    ];
    const values = { inputs: [tensorInfo("x", "FP32", [1, WIDTH])], outputs: [tensorInfo("y", "FP32", [])] };
    const options = await optionsFor(context, onnxModel({ nodes, ...values }), { feed: row(), cuts: [1] });
    await assert.rejects(writeStages({ ...options, stageIds: ["a", "b"] }), {
      code: "FAILED_PRECONDITION",
      message: `'${options.modelPath}' cannot be cut at 1: 'pair' crosses, which a session cannot hand out`,
    });
  });
});
