import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readNpz, writeNpz } from "../../../proto/files/npz.ts";
import { calibrate, FASHION_COSTS, FASHION_IMAGES, FASHION_RECORDED, fashionCopy } from "./calibrate-runs.ts";

describe("calibrate refuses", () => {
  it("a command line it does not understand with exit code 2 and where to read on", async () => {
    const wrong: readonly [readonly string[], RegExp][] = [
      [[], /name a repository with --model-repository DIR/],
      [["--model-repository", "m"], /name the cascade with --model NAME/],
      [["--model-repository", "m", "--model", "c"], /name labelled rows with --data SET/],
      [["--no-such-flag"], /no-such-flag/],
      [["--levls", "a,b"], /Unknown option '--levls'; did you mean "--levels"\?\n/],
    ];
    for (const [argv, message] of wrong) {
      const run = await calibrate(...argv);
      assert.equal(run.code, 2);
      assert.match(run.stderr, message);
      assert.match(run.stderr, /See: hybridserve calibrate --help/);
      assert.equal(run.stdout, "");
    }
  });

  it("what is not there, naming it", async (t) => {
    const { root, models } = await fashionCopy(t);
    const repository = ["--model-repository", models];
    const nowhere = join(root, "nowhere.npz");
    const wrong: readonly [readonly string[], RegExp][] = [
      [
        [...repository, "--model", "none", "--data", FASHION_IMAGES],
        /there is no cascade 'none'; make one with --levels/,
      ],
      [
        [...repository, "--model", "fashion-l", "--data", FASHION_IMAGES],
        /'fashion-l' .* no version with a cascade.json/,
      ],
      [[...repository, "--model", "fashion", "--data", nowhere], /nowhere\.npz/],
      [
        [...repository, "--model", "x", "--levels", "fashon-xs,fashion-l", "--data", FASHION_IMAGES],
        /^error: --levels: there is no model 'fashon-xs' in .*; did you mean "fashion-xs"\?\n$/,
      ],
      [
        [...repository, "--model", "fashon", "--data", FASHION_IMAGES],
        /no cascade 'fashon'; did you mean "fashion"\?;/,
      ],
      [[...repository, "--model", "x", "--levels", "fashion-xs", "--data", FASHION_IMAGES], /at least two models/],
      [
        [...repository, "--model", "fashion", "--levels", "fashion-xs,fashion-l", "--data", FASHION_IMAGES],
        /is there already: leave out --levels/,
      ],
    ];
    for (const [argv, message] of wrong) {
      const run = await calibrate(...argv);
      assert.equal(run.code, 1, argv.join(" "));
      assert.match(run.stderr, message);
      assert.doesNotMatch(run.stderr, /\n\s+at /);
    }
    assert.deepEqual((await readdir(models)).sort(), ["fashion", "fashion-l", "fashion-m", "fashion-xs"]);
  });

  it("a cascade with a level that cannot run, naming the level", async (t) => {
    const { models, cascade } = await fashionCopy(t);
    await writeFile(join(models, "fashion-m", "1", "model.onnx"), "damaged");
    const run = await calibrate("--model-repository", models, "--model", "fashion", "--data", FASHION_IMAGES);
    assert.equal(run.code, 1);
    assert.match(run.stderr, /model 'fashion-m' cannot be loaded/);
    assert.deepEqual((await readdir(cascade)).sort(), ["1", "config.pbtxt", "labels.txt"]);
  });

  it("costs that are not one a level, and recorded outputs without costs", async (t) => {
    const { models, cascade } = await fashionCopy(t);
    const argv = ["--model-repository", models, "--model", "fashion", "--data", FASHION_RECORDED];
    const two = await calibrate(...argv, "--costs", "1,2");
    assert.equal(two.code, 1);
    assert.match(two.stderr, /--costs names 2 costs, the cascade has 3 levels/);
    const none = await calibrate(...argv);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /recorded outputs do not tell what a level costs: give --costs/);
    assert.deepEqual((await readdir(cascade)).sort(), ["1", "config.pbtxt", "labels.txt"]);
  });

  it("a last level that is always right, unless the rows are said to be held out", async (t) => {
    const { root, models, cascade } = await fashionCopy(t);
    const recorded = readNpz(await readFile(FASHION_RECORDED), FASHION_RECORDED);
    const last = recorded.get("level2");
    const labels = recorded.get("labels");
    assert.ok(last !== undefined && labels !== undefined);
    // Half precision: 60 where the label is, 0 elsewhere; the last level then knows all the answers.
    const scores = new Uint16Array(labels.data.length * 10);
    labels.data.forEach((label, row) => {
      scores[row * 10 + label] = 0x5380;
    });
    const data = join(root, "seen.npz");
    await writeFile(
      data,
      writeNpz(new Map([...recorded, ["level2", { ...last, data: new Uint8Array(scores.buffer) }]])),
    );
    const argv = ["--model-repository", models, "--model", "fashion", "--data", data, "--costs", FASHION_COSTS];
    const refused = await calibrate(...argv);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /right on 100\.00 % of these rows.*--i-held-this-out/);
    assert.deepEqual((await readdir(cascade)).sort(), ["1", "config.pbtxt", "labels.txt"]);
    const believed = await calibrate(...argv, "--i-held-this-out", "--dry-run");
    assert.equal(believed.code, 0, believed.stderr);
  });
});

describe("calibrate on pictures of bytes in an archive", () => {
  it("says that they are taken as they are, unless a scale is given", async (t) => {
    const { root, models } = await fashionCopy(t);
    const data = join(root, "bytes.npz");
    const [rows, size] = [30, 28 * 28];
    const arrays = new Map([
      ["image", { datatype: "UINT8", shape: [rows, 1, 28, 28], data: new Uint8Array(rows * size) }],
      ["labels", { datatype: "UINT8", shape: [rows], data: new Uint8Array(rows) }],
    ] as const);
    await writeFile(data, writeNpz(arrays));
    const argv = ["--model-repository", models, "--model", "fashion", "--data", data, "--cache", ""];
    const plain = await calibrate(...argv);
    assert.match(plain.stderr, /bytes of pictures are given .* 0 to 255; .*--scale 0\.00392156862745098/);
    assert.match(plain.stderr, /only \d+ of 30 rows fall into/);
    const scaled = await calibrate(...argv, "--scale", "0.00392156862745098");
    assert.doesNotMatch(scaled.stderr, /bytes of pictures/);
  });
});

describe("calibrate --dry-run", () => {
  it("tells all and writes no version, only that the rows were used", async (t) => {
    const { models, cascade } = await fashionCopy(t);
    const argv = ["--model-repository", models, "--model", "fashion", "--data", FASHION_RECORDED, "--dry-run"];
    const run = await calibrate(...argv, "--costs", FASHION_COSTS, "--json");
    assert.equal(run.code, 0, run.stderr);
    const printed = JSON.parse(run.stdout);
    assert.equal(printed.directory, null);
    assert.equal(printed.cascade.default, "AP");
    assert.deepEqual((await readdir(cascade)).sort(), [".certify-uses.jsonl", "1", "config.pbtxt", "labels.txt"]);
    assert.equal(printed.cascade.operatingPoints[0].certificate.certifyUses, 1);
    assert.equal(printed.curve.length > 10 && printed.curve[0].harmBound < 0.005, true);
    const again = await calibrate(...argv, "--costs", FASHION_COSTS);
    assert.match(again.stdout, /used 2 times/);
  });
});

describe("calibrate --help", () => {
  it("prints the flags", async () => {
    const run = await calibrate("--help");
    assert.equal(run.code, 0);
    assert.match(run.stdout, /--max-drop X/);
  });
});
