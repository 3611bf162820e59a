import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ranLevels, recordedLevels } from "../../../cli/calibrate/answered-levels.ts";
import type { CalibrateOptions } from "../../../cli/calibrate/options.ts";
import type { InputsDataset, RecordedDataset } from "../../../cli/dataset/dataset.ts";
import type { Runtime } from "../../../planner/runtime.ts";
import { fp32 } from "../../support/tensors.ts";
import { cascadeLevel, modelSignature, spec } from "./signatures.ts";

const OPTIONS = {
  data: "rows.npz",
  costs: undefined,
  costUnit: "joules",
  cacheDirectory: "",
  url: undefined,
} as unknown as CalibrateOptions; // all that is read
const scoresOnly = { function: "min_token", kind: "logits", outputs: { scores: "y" }, params: {} } as const;
const withMask = { ...scoresOnly, outputs: { scores: "y", mask: "counts" } } as const;

/** A runtime whose models have these hashes and answer two classes. */
function runtime(hashes: Readonly<Record<string, string>>): Runtime {
  return {
    costUnit: "seconds",
    costSource: "measured",
    signature: (model) => modelSignature(model, [spec("x", [1])], [spec("y", [2])]),
    levelHash: async (model) => hashes[model] ?? "",
    run: async (_model, _version, inputs) => {
      const rows = inputs[0]?.shape[0] ?? 0;
      return { outputs: [fp32("y", [rows, 2], new Array<number>(2 * rows).fill(0.5))], cost: rows };
    },
    close: async () => undefined,
  };
}

async function run(hashes: Readonly<Record<string, string>>, options: Partial<CalibrateOptions> = {}) {
  const dataset: InputsDataset = {
    kind: "inputs",
    rows: 3,
    inputs: [fp32("x", [3, 1], [1, 2, 3])],
    images: null,
    labels: { values: new Int32Array(3), tokens: 1 },
    groups: null,
  };
  const confidence = { ...scoresOnly, function: "max_prob" };
  const levels = ["a", "b"].map((model) => cascadeLevel(model, { confidence }));
  const all = { ...OPTIONS, ...options };
  const silent = () => undefined;
  return ranLevels(dataset, levels, [null, null], all, runtime(hashes), silent, silent);
}

describe("ranLevels", () => {
  it("names the provider: what runs here, or remote where nothing does", async () => {
    const [files, remote] = ["sha256:files:1", "sha256:metadata:2"];
    assert.equal((await run({ a: files, b: files })).provider, "cpu");
    assert.equal((await run({ a: files, b: remote })).provider, "cpu");
    assert.equal((await run({ a: remote, b: remote })).provider, "remote");
    assert.equal((await run({ a: remote }, { url: "host:1" })).provider, "remote");
  });

  it("takes measured costs, or given ones, which must be one a level", async () => {
    const measured = await run({});
    assert.deepEqual(measured.costs, new Array(2).fill({ value: 1, unit: "seconds", source: "measured" }));
    assert.deepEqual((await run({}, { costs: [1, 5] })).costs[1], { value: 5, unit: "joules", source: "given" });
    await assert.rejects(run({}, { costs: [1] }), /--costs names 1 costs, the cascade has 2 levels/);
  });
});

describe("recordedLevels", () => {
  const recorded = (mask: Uint8Array | null, shape = [2, 3, 2]): RecordedDataset => ({
    kind: "recorded",
    rows: 2,
    levels: ["level0", "level1"].map((name) => fp32(name, shape, new Array<number>(12).fill(1))),
    mask,
    labels: { values: new Int32Array(6), tokens: 3 },
    groups: null,
  });
  const answer = (dataset: RecordedDataset, confidence: typeof scoresOnly | typeof withMask) =>
    recordedLevels(dataset, [cascadeLevel("small", { confidence }), cascadeLevel("large")], [null, null], {
      ...OPTIONS,
      costs: [1, 2],
    });

  it("takes the mask where the level reads one too when it serves", () => {
    const mask = Uint8Array.of(1, 1, 0, 1, 0, 0);
    assert.deepEqual(answer(recorded(mask), withMask).scores[0]?.mask, mask);
    assert.equal(answer(recorded(null), scoresOnly).scores[0]?.mask, null);
  });

  it("refuses a mask on one side only", () => {
    assert.throws(() => answer(recorded(new Uint8Array(6)), scoresOnly), /'small' reads none.*cascade\.json/);
    assert.throws(() => answer(recorded(null), withMask), /rows\.npz has no array 'mask'.*'small'.*'counts'/);
  });

  it("asks for no mask of one answer a row", () => {
    assert.equal(answer(recorded(null, [2, 6]), withMask).provider, "");
  });
});
