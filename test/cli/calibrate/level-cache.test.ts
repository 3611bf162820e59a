import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { type ChunkKey, LevelCache } from "../../../cli/calibrate/level-cache.ts";
import type { NpyArray } from "../../../proto/files/npy.ts";
import { writeNpz } from "../../../proto/files/npz.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const KEY: ChunkKey = {
  levelHash: "sha256:aa",
  dataHash: "sha256:bb",
  inputs: { image: "image" },
  outputs: ["logits", "mask"],
  batchRows: 64,
  costUnit: "cpuSeconds",
  firstRow: 0,
  rows: 2,
};
const RUN = {
  outputs: [
    {
      name: "logits",
      datatype: "FP32",
      shape: [2, 2],
      data: new Uint8Array(new Float32Array([1, Number.NaN, -0, 4]).buffer),
    },
    { name: "mask", datatype: "UINT8", shape: [2, 1], data: new Uint8Array([1, 0]) },
  ],
  cost: 0.125,
} as const;

async function cacheIn(context: TestContext) {
  const directory = join(await temporaryFiles(context, {}), "cache");
  const warnings: string[] = [];
  return { directory, warnings, cache: new LevelCache(directory, (text) => warnings.push(text)) };
}

/** The one file of the cache. */
async function onlyFile(directory: string): Promise<string> {
  const names = await readdir(directory);
  assert.equal(names.length, 1);
  return join(directory, names[0] ?? "");
}

describe("LevelCache", () => {
  it("gives back what was put, bit by bit, and leaves no partial file", async (t) => {
    const { directory, warnings, cache } = await cacheIn(t);
    await cache.put(KEY, RUN);
    await onlyFile(directory);
    assert.deepEqual(await cache.get(KEY), RUN);
    assert.deepEqual(warnings, []);
  });

  it("has nothing, without a warning, where nothing was put", async (t) => {
    const { warnings, cache } = await cacheIn(t);
    assert.equal(await cache.get(KEY), undefined);
    assert.deepEqual(warnings, []);
  });

  it("keeps apart whatever decides the bytes", async (t) => {
    const { cache } = await cacheIn(t);
    await cache.put(KEY, RUN);
    const others: Partial<ChunkKey>[] = [
      { levelHash: "sha256:ac" },
      { dataHash: "sha256:bc" },
      { inputs: { image: "other" } },
      { outputs: ["logits"] },
      { costUnit: "seconds" },
      { batchRows: 32 },
      { firstRow: 2 },
      { rows: 3 },
    ];
    for (const other of others) assert.equal(await cache.get({ ...KEY, ...other }), undefined, JSON.stringify(other));
  });

  const damages: readonly [string, (bytes: Uint8Array) => Uint8Array, RegExp][] = [
    ["cut short", (bytes) => bytes.subarray(0, bytes.length / 2), /cannot be used, its rows run again/],
    ["empty", () => new Uint8Array(0), /cannot be used/],
    ["without an output", () => writeNpz(new Map([cost(8)])), /no array 'output:logits'/],
    ["without a cost", () => writeNpz(new Map([output("logits", 2), output("mask", 2)])), /no array 'cost'/],
    ["with other rows", () => writeNpz(new Map([cost(8), output("logits", 1), output("mask", 2)])), /expected 2 rows/],
  ];
  for (const [name, damage, warning] of damages) {
    it(`says in one line that a chunk is ${name}, and has it again once it was put`, async (t) => {
      const { directory, warnings, cache } = await cacheIn(t);
      await cache.put(KEY, RUN);
      const path = await onlyFile(directory);
      await writeFile(path, damage(await readFile(path)));
      assert.equal(await cache.get(KEY), undefined);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? "", warning);
      assert.doesNotMatch(warnings[0] ?? "", /\n/);
      await cache.put(KEY, RUN);
      assert.deepEqual(await cache.get(KEY), RUN);
    });
  }
});

function cost(bytes: number): [string, NpyArray] {
  return ["cost", { datatype: "FP64", shape: [bytes / 8], data: new Uint8Array(bytes) }];
}

function output(name: string, rows: number): [string, NpyArray] {
  return [`output:${name}`, { datatype: "UINT8", shape: [rows], data: new Uint8Array(rows) }];
}
