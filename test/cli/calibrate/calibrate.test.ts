import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { openRuntime } from "../../../cli/calibrate/open-runtime.ts";
import type { CascadeFile } from "../../../proto/files/cascade-file.ts";
import { readNpz } from "../../../proto/files/npz.ts";
import { parseCascadeFile } from "../../../proto/files/read-cascade-file.ts";
import {
  calibrate,
  FASHION_COSTS,
  FASHION_IMAGES,
  FASHION_LEVELS,
  FASHION_RECORDED,
  fashionCopy,
} from "./calibrate-runs.ts";

async function cascadeFile(directory: string, version: number): Promise<CascadeFile> {
  const path = join(directory, String(version), "cascade.json");
  return parseCascadeFile(await readFile(path, "utf8"), path);
}

/** cascade.json without what tells when and by which command it was made. */
async function lasting(directory: string, version: number): Promise<string> {
  const text = await readFile(join(directory, String(version), "cascade.json"), "utf8");
  return text.replace(/"(createdAt|command)": ".*"/g, '"$1": "x"').replace(/"certifyUses": \d+/g, '"certifyUses": 1');
}

describe("calibrate on images", () => {
  it("writes a certified version with its golden rows and inputs; the second run is all from the cache", async (t) => {
    const { models, cascade, cache } = await fashionCopy(t);
    const argv = ["--model-repository", models, "--model", "fashion", "--data", FASHION_IMAGES, "--max-drop", "0.05"];
    const first = await calibrate(...argv, "--cache", cache);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /AP \* .*gap <= \d/);
    assert.doesNotMatch(first.stdout + first.stderr, /in the cache|used \d+ times/);
    const file = await cascadeFile(cascade, 2);
    assert.equal(file.default, "AP");
    assert.deepEqual(
      file.levels.map(({ model, cost }) => [model, cost?.unit, (cost?.value ?? 0) > 0]),
      FASHION_LEVELS.map((model) => [model, "cpuSeconds", true]),
    );
    assert.equal(
      file.calibration?.levelHashes.every((hash) => /^sha256:files:[0-9a-f]{64}$/.test(hash)),
      true,
    );

    const golden = readNpz(await readFile(join(cascade, "2", "golden.npz")), "golden.npz");
    assert.deepEqual(
      [...golden].map(([name, { datatype, shape }]) => [name, datatype, ...shape]),
      [
        ["input:image", "FP32", 256, 1, 28, 28],
        ["level0:logits", "FP32", 256, 10],
        ["level1:logits", "FP32", 256, 10],
        ["level2:logits", "FP32", 256, 10],
      ],
    );
    const perf = JSON.parse(await readFile(join(cascade, "2", "perf-data.json"), "utf8"));
    assert.equal(perf.data.length, 64);
    assert.deepEqual(perf.data[0].image.shape, [1, 28, 28]);
    assert.equal(Buffer.from(perf.data[0].image.b64, "base64").length, 28 * 28 * 4);
    assert.match(await readFile(join(cascade, "2", "report.html"), "utf8"), /<html/);

    const second = await calibrate(...argv, "--cache", cache);
    assert.equal(second.code, 0, second.stderr);
    assert.equal(second.stderr.match(/2000 of 2000 rows were in the cache/g)?.length, FASHION_LEVELS.length);
    assert.match(second.stdout + second.stderr, /used 2 times/);
    const again = await cascadeFile(cascade, 3);
    assert.equal(again.operatingPoints[0]?.certificate?.certifyUses, 2);
    assert.equal(await lasting(cascade, 2), await lasting(cascade, 3));
    assert.deepEqual((await readdir(cascade)).sort(), [
      ".certify-uses.jsonl",
      "1",
      "2",
      "3",
      "config.pbtxt",
      "labels.txt",
    ]);
  });
});

describe("calibrate on recorded outputs", () => {
  it("certifies a drop of at most half a point at a fifth of the last level's cost, the same each time", async (t) => {
    const made: string[] = [];
    for (let i = 0; i < 2; i++) {
      const { models, cascade } = await fashionCopy(t);
      const run = await calibrate(
        ...["--model-repository", models, "--model", "fashion", "--data", FASHION_RECORDED, "--costs", FASHION_COSTS],
        ...["--max-drop", "0.005", "--risk", "0.05"],
      );
      assert.equal(run.code, 0, run.stderr);
      // No level ran, so there are no rows to replay or to send.
      assert.deepEqual((await readdir(join(cascade, "2"))).sort(), ["cascade.json", "report.html"]);
      made.push(await lasting(cascade, 2));
    }
    assert.equal(made[0], made[1]);
    const file = parseCascadeFile(made[0] ?? "", "cascade.json");
    const point = file.operatingPoints.find(({ name }) => name === file.default);
    const certificate = point?.certificate;
    assert.equal(file.default, "AP");
    assert.equal(certificate?.metric, "gap");
    assert.equal(certificate?.risk, 0.05);
    assert.ok((certificate?.bound ?? 1) <= 0.005, `bound ${certificate?.bound}`);
    assert.ok((certificate?.samples ?? 0) >= 10_000, `${certificate?.samples} samples`);
    const share = (point?.expected?.cost.value ?? 1) / (file.levels.at(-1)?.cost?.value ?? 1);
    assert.ok(share <= 0.2, `${share} of the last level's cost`);
  });
});

describe("calibrate --levels", () => {
  it("makes a new cascade of models, which loads and is certified", async (t) => {
    const { models, cache } = await fashionCopy(t, false);
    const run = await calibrate(
      ...["--model-repository", models, "--model", "mine", "--levels", "fashion-xs, fashion-l"],
      ...["--data", FASHION_IMAGES, "--max-drop", "0.05", "--cache", cache],
    );
    assert.equal(run.code, 0, run.stderr);
    const file = await cascadeFile(join(models, "mine"), 1);
    assert.deepEqual(
      file.levels.map((level) => [level.model, level.confidence?.kind, level.confidence?.outputs]),
      [
        ["fashion-xs", "logits", { scores: "logits" }],
        ["fashion-l", "logits", { scores: "logits" }],
      ],
    );
    assert.notEqual(file.operatingPoints.find(({ name }) => name === "AP")?.certificate ?? null, null);
    const warnings: string[] = [];
    const runtime = await openRuntime([models], ["mine"], undefined, (text) => warnings.push(text));
    try {
      const signature = runtime.signature("mine", "");
      assert.deepEqual(
        signature.inputs.map(({ name, dims }) => [name, ...dims]),
        [["image", 1, 28, 28]],
      );
      assert.deepEqual(
        signature.outputs.map(({ name }) => name),
        ["logits", "CASCADE_LEVEL", "CASCADE_CONFIDENCE"],
      );
      const image = {
        name: "image",
        datatype: "FP32",
        shape: [1, 1, 28, 28],
        data: new Uint8Array(28 * 28 * 4),
      } as const;
      const { outputs } = await runtime.run("mine", "", [image], ["logits", "CASCADE_LEVEL"]);
      assert.deepEqual(
        outputs.map(({ shape }) => shape),
        [
          [1, 10],
          [1, 1],
        ],
      );
    } finally {
      await runtime.close();
    }
    assert.doesNotMatch(warnings.join("\n"), /certificate|golden/);
  });
});
