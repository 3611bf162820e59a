import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { ModelRunner } from "../../model-repo/model-runner.ts";
import { concatTensors, splitTensor, type Tensor } from "../../proto/tensor.ts";
import { readFloats } from "../../scheduler/confidence/floats.ts";
import { temporaryFiles } from "../support/temporary-files.ts";

const MODELS = fileURLToPath(new URL("../../examples/fashion-mnist/models", import.meta.url));
const MODEL = "fashion-xs";
const LARGE = "fashion-l";
const LOG = { info: () => undefined, warn: () => undefined, error: () => undefined };

function open(repository: string, ...models: readonly string[]): Promise<ModelRunner> {
  return ModelRunner.open({ repositories: [repository], models, log: LOG });
}

/** Rows that differ. */
function images(rows: number): Tensor {
  const values = Float32Array.from({ length: rows * 784 }, (_, i) => ((i * 7919) % 255) / 255);
  return { name: "image", datatype: "FP32", shape: [rows, 1, 28, 28], data: new Uint8Array(values.buffer) };
}

describe("ModelRunner", () => {
  it("runs more rows than a batch holds, in order, and counts their CPU time", async (t) => {
    const runner = await open(MODELS, MODEL);
    t.after(() => runner.close());
    const rows = 2 * runner.signature(MODEL, "").maxBatchSize + 3;
    const whole = await runner.run(MODEL, "", [images(rows)], ["logits"]);
    assert.deepEqual(whole.outputs[0]?.shape, [rows, 10]);
    assert.equal(runner.costUnit, "cpuSeconds");
    assert.ok(whole.cost > 0 && whole.cost < 60);
    const alone: Tensor[] = [];
    for (const image of splitTensor(images(rows), new Array(rows).fill(1))) {
      alone.push(...(await runner.run(MODEL, "", [image], ["logits"])).outputs);
    }
    // Batches of other sizes may round otherwise.
    const expected = readFloats(concatTensors(alone));
    readFloats(whole.outputs[0] ?? images(0)).forEach((value, i) => {
      assert.ok(Math.abs(value - (expected[i] ?? Number.NaN)) < 1e-3, `element ${i}: ${value}, alone ${expected[i]}`);
    });
  });

  it("counts the CPU time of instances in processes of their own", async (t) => {
    const model = await readFile(join(MODELS, LARGE, "1", "model.onnx"));
    const config = (await readFile(join(MODELS, LARGE, "config.pbtxt"), "utf8")).replace(`"${LARGE}"`, '"m"');
    const root = await temporaryFiles(t, {
      "m/config.pbtxt": `${config}\nparameters { key: "isolation" value { string_value: "process" } }`,
      "m/labels.txt": await readFile(join(MODELS, LARGE, "labels.txt")),
      "m/1/model.onnx": model,
    });
    const costs: number[] = [];
    for (const [repository, name] of [
      [MODELS, LARGE],
      [root, "m"],
    ] as const) {
      const runner = await open(repository, name);
      costs.push((await runner.run(name, "", [images(256)], ["logits"])).cost);
      await runner.close();
    }
    const [inThread = 0, inProcess = 0] = costs;
    assert.ok(inProcess > inThread / 2 && inProcess < inThread * 4, `${inProcess} s, in a thread ${inThread} s`);
  });

  it("names a version by its files: another model has another hash", async (t) => {
    const model = await readFile(join(MODELS, MODEL, "1", "model.onnx"));
    const config = (await readFile(join(MODELS, MODEL, "config.pbtxt"), "utf8")).replace(`"${MODEL}"`, '"m"');
    const labels = await readFile(join(MODELS, MODEL, "labels.txt"));
    const files = (repository: string) => ({
      [`${repository}/m/config.pbtxt`]: config,
      [`${repository}/m/labels.txt`]: labels,
      [`${repository}/m/1/model.onnx`]: model,
    });
    const other = await readFile(join(MODELS, "fashion-m", "1", "model.onnx"));
    const root = await temporaryFiles(t, { ...files("a"), ...files("b"), ...files("c"), "c/m/1/model.onnx": other });
    const hashes: string[] = [];
    for (const repository of ["a", "b", "c"]) {
      const runner = await open(join(root, repository), "m");
      hashes.push(await runner.levelHash("m", ""));
      await runner.close();
    }
    assert.match(hashes[0] ?? "", /^sha256:files:[0-9a-f]{64}$/);
    assert.equal(hashes[0], hashes[1]);
    assert.notEqual(hashes[0], hashes[2]);
  });

  it("refuses models that are not there or cannot be loaded, saying which", async (t) => {
    await assert.rejects(open(MODELS, MODEL, "none"), /'none'/);
    const config = await readFile(join(MODELS, MODEL, "config.pbtxt"), "utf8");
    const root = await temporaryFiles(t, { [`${MODEL}/config.pbtxt`]: config, [`${MODEL}/1/model.onnx`]: "damaged" });
    await assert.rejects(open(root, MODEL), /model 'fashion-xs' cannot be loaded: /);
  });

  it("fails with the model's complaint about its inputs", async (t) => {
    const runner = await open(MODELS, MODEL);
    t.after(() => runner.close());
    const wrong: Tensor = { ...images(1), shape: [1, 784] };
    await assert.rejects(runner.run(MODEL, "", [wrong], ["logits"]), /image/);
    await assert.rejects(runner.run(MODEL, "", [images(1)], ["none"]), /none/);
  });
});
