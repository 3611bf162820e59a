import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type ModelProfile,
  type ProfileFile,
  profileJson,
  readProfileFile,
} from "../../../proto/files/profile-file.ts";

const BATCH = { batchSize: 1, serviceMs: [1.5, 1.25], peakBytes: 1000, energy: null };
const GRAPH = {
  optimisation: "extended",
  graphHash: "sha256:1",
  batchSize: 1,
  nodeMs: { core: [0.5, 0.25, 1] },
  nodeWeightBytes: [10, 0, 20],
  cuts: [{ position: 2, bytes: 64, tensors: 1 }],
} as const;
const MODEL: ModelProfile = {
  name: "m",
  version: "1",
  modelHash: "sha256:files:ab",
  maxBatchSize: 8,
  weightBytes: 30,
  inputBytesPerRow: 12,
  outputBytesPerRow: 2.5,
  classes: [
    {
      class: "core",
      batches: [BATCH, { ...BATCH, batchSize: 4, energy: { joules: 0.5, source: "rapl:package-0" } }],
      stopped: "",
    },
    { class: "small", batches: [], stopped: "does not load" },
  ],
  graph: GRAPH,
};
const FILE: ProfileFile = {
  createdAt: "2026-01-01T00:00:00.000Z",
  runtime: { onnxruntime: "1.30.0", node: "22.1.0", providers: ["cpu"], machine: "Some Processor" },
  models: [MODEL, { ...MODEL, name: "n", graph: null }],
};

function withModel(change: object): object {
  return { models: [{ ...MODEL, ...change }] };
}

function withClass(change: object): object {
  return withModel({ classes: [{ class: "core", batches: [BATCH], stopped: "", ...change }] });
}

describe("readProfileFile", () => {
  it("reads what profileJson writes", () => {
    assert.deepEqual(readProfileFile(profileJson(FILE), "profile.json"), FILE);
  });

  const cases: readonly (readonly [string, object, RegExp])[] = [
    ["another format", { formatVersion: 2 }, /formatVersion/],
    ["an unknown key", { model: [] }, /model is not a known key/],
    ["a model twice", { models: [MODEL, MODEL] }, /models names model 'm' version 1 twice/],
    [
      "a class twice",
      withModel({ classes: [MODEL.classes[0], MODEL.classes[0]] }),
      /models\[0\]\.classes names 'core' twice/,
    ],
    ["batches that do not ascend", withClass({ batches: [BATCH, BATCH] }), /classes\[0\]\.batches must ascend/],
    [
      "a batch without samples",
      withClass({ batches: [{ ...BATCH, serviceMs: [] }] }),
      /serviceMs must hold at least one/,
    ],
    ["a negative time", withClass({ batches: [{ ...BATCH, serviceMs: [-1] }] }), /serviceMs\[0\]/],
    ["no reason", withClass({ stopped: null }), /stopped must be a string/],
    [
      "times of other nodes",
      withModel({ graph: { ...GRAPH, nodeMs: { core: [1] } } }),
      /nodeMs\.core must hold one time for each of the 3 nodes/,
    ],
    [
      "a cut beyond the end",
      withModel({ graph: { ...GRAPH, cuts: [{ position: 3, bytes: 1, tensors: 1 }] } }),
      /cuts\[0\]\.position/,
    ],
    ["another optimisation", withModel({ graph: { ...GRAPH, optimisation: "all" } }), /graph\.optimisation/],
  ];
  for (const [what, change, text] of cases) {
    it(`refuses ${what}`, () => {
      const file = JSON.stringify({ formatVersion: 1, ...FILE, ...change });
      assert.throws(
        () => readProfileFile(file, "profile.json"),
        (error: Error) => {
          assert.match(error.message, /^profile\.json: /);
          assert.match(error.message, text);
          return true;
        },
      );
    });
  }
});
