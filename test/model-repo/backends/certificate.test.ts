import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { GOLDEN_FILE, replayGoldenFile } from "../../../model-repo/backends/certificate-golden.ts";
import { levelHash } from "../../../model-repo/backends/certificate-hash.ts";
import { levelIdentity } from "../../../model-repo/backends/certificate-level.ts";
import {
  certificateFindings,
  type GoldenFinding,
  type LevelIdentity,
} from "../../../model-repo/backends/certificate-state.ts";
import { type CascadeFile, REMOTE_PROVIDER } from "../../../proto/files/cascade-file.ts";
import { writeNpz } from "../../../proto/files/npz.ts";
import { policyHash } from "../../../proto/files/policy-hash.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { BatchedModel } from "../../../scheduler/batched-model.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import { cascadeFile, certificate, confidentAs, gate, level, point } from "../../support/cascades.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";
import { fp32, signature, spec } from "../../support/tensors.ts";
import { type Answer, TimedInstance } from "../../support/timed-instance.ts";

const SAME: GoldenFinding = { difference: undefined, routes: new Map(), gap: undefined };
const LEVELS: readonly LevelIdentity[] = [
  { hash: "sha256:a", provider: "cpu" },
  { hash: "sha256:b", provider: "" },
];

/** Two levels; AP is certified, EO is not. */
function certifiedFile(overrides: Partial<CascadeFile> = {}): CascadeFile {
  const calibration = { levelHashes: ["sha256:a", "sha256:b"], provider: "cpu", createdAt: "", command: "" };
  const file = cascadeFile([level("small"), level("giant")], [point("AP", [gate(0.9)]), point("EO", [gate(0.5)])]);
  const [ap, eo] = file.operatingPoints;
  assert.ok(ap && eo);
  const certified = { ...ap, certificate: certificate(policyHash(file, ap)) };
  return { ...file, operatingPoints: [certified, eo], calibration, ...overrides };
}

describe("level hash", () => {
  it("changes with name and content of every file, not with hidden ones", async (test) => {
    const root = await temporaryFiles(test, { "1/model.onnx": "a", "1/data/weights": "b", "2/": "" });
    const first = await levelHash(join(root, "1"));
    assert.match(first, /^sha256:files:[0-9a-f]{64}$/);
    await writeFile(join(root, "1/.model.swp"), "x");
    assert.equal(await levelHash(join(root, "1")), first);
    await writeFile(join(root, "1/data/weights"), "c");
    const changed = await levelHash(join(root, "1"));
    assert.notEqual(changed, first);
    await rm(join(root, "1/data/weights"));
    await writeFile(join(root, "1/data/other"), "b");
    assert.notEqual(await levelHash(join(root, "1")), first);
    assert.equal(await levelHash(join(root, "2")), "");
    await assert.rejects(levelHash(join(root, "3")), /cannot read the model files in '.*3'/);
  });

  it("a model that says what it is has no provider of ours", async (test) => {
    const root = await temporaryFiles(test, { "1/model.onnx": "a" });
    const model = batched(new VirtualClock(), "m", () => []);
    const remote = Object.assign(Object.create(model), { contentHash: "sha256:r" });
    assert.deepEqual(await levelIdentity(remote, join(root, "1")), { hash: "sha256:r", provider: "" });
    assert.equal((await levelIdentity(model, join(root, "1"))).provider, "cpu");
    assert.deepEqual(await levelIdentity(model, undefined), { hash: "", provider: "cpu" });
  });
});

describe("certificate state", () => {
  const states = (file: CascadeFile, levels = LEVELS, golden = SAME) =>
    Object.fromEntries([...certificateFindings(file, levels, golden)].map(([name, { state }]) => [name, state]));
  const reason = (file: CascadeFile, levels = LEVELS, golden = SAME) =>
    certificateFindings(file, levels, golden).get("AP")?.reason ?? "";

  it("is valid where all was compared and is the same", () => {
    assert.deepEqual(states(certifiedFile()), { AP: "valid", EO: "uncertified" });
    assert.equal(reason(certifiedFile()), "");
  });

  it("is void where the policy, a level, the provider or an answer differs", () => {
    const file = certifiedFile();
    const edited = { ...file, levels: [level("small", { version: "2" }), level("giant")] };
    assert.match(reason(edited), /policy in cascade.json was changed/);
    const other = [LEVELS[0], { hash: "sha256:c", provider: "" }].flatMap((each) => each ?? []);
    assert.match(reason(file, other), /level 1 \('giant'\) is not the model that was calibrated/);
    const cuda = certifiedFile({ calibration: { levelHashes: [], provider: "cuda", createdAt: "", command: "" } });
    assert.match(reason(cuda), /level 0 \('small'\) was calibrated on provider 'cuda' and runs on 'cpu'/);
    assert.equal(reason(file, LEVELS, { ...SAME, difference: "they differ" }), "they differ");
    const rerouted = { ...SAME, routes: new Map([["AP", "it goes elsewhere"]]) };
    assert.equal(reason(file, LEVELS, rerouted), "it goes elsewhere");
    for (const found of [states(edited), states(file, other), states(cuda), states(file, LEVELS, rerouted)]) {
      assert.deepEqual(found, { AP: "void", EO: "uncertified" });
    }
  });

  it("is unverified where the model moved between this server and another one, and the golden rows agree", () => {
    const recorded = (levelHashes: readonly string[]) =>
      certifiedFile({ calibration: { levelHashes, provider: "cpu", createdAt: "", command: "" } });
    const found: readonly LevelIdentity[] = [
      { hash: "sha256:files:a", provider: "cpu" },
      { hash: "sha256:metadata:b", provider: "" },
    ];
    const same = recorded(["sha256:files:a", "sha256:metadata:b"]);
    assert.equal(states(same, found)["AP"], "valid");
    const fromRemote = recorded(["sha256:metadata:x", "sha256:metadata:b"]);
    assert.equal(states(fromRemote, found)["AP"], "unverified");
    assert.match(reason(fromRemote, found), /level 0 \('small'\) was calibrated on another server and runs from files/);
    const toRemote = recorded(["sha256:files:a", "sha256:files:x"]);
    assert.equal(states(toRemote, found)["AP"], "unverified");
    assert.match(reason(toRemote, found), /level 1 \('giant'\) was calibrated from files and runs on another server/);
    assert.equal(states(toRemote, found, { ...SAME, difference: "they differ" })["AP"], "void");
    assert.equal(states(recorded(["sha256:files:c", "sha256:files:x"]), found)["AP"], "void");
    const levelHashes = ["sha256:metadata:x", "sha256:metadata:b"];
    const allRemote = { levelHashes, provider: REMOTE_PROVIDER, createdAt: "", command: "" };
    assert.equal(states(certifiedFile({ calibration: allRemote }), found)["AP"], "unverified");
    // Written before hashes said their kind.
    assert.equal(states(recorded(["sha256:a", "sha256:b"]), found)["AP"], "valid");
    assert.equal(states(recorded(["sha256:a", "sha256:c"]), found)["AP"], "void");
  });

  it("is unverified where something could not be compared, void where something else differs besides", () => {
    const file = certifiedFile();
    const unknown = LEVELS.map((each, k) => (k === 1 ? { ...each, hash: "" } : each));
    assert.match(reason(file, unknown), /level 1 \('giant'\) has no hash to compare/);
    assert.match(reason(certifiedFile({ calibration: null })), /does not say which models were calibrated/);
    assert.equal(reason(file, LEVELS, { ...SAME, gap: "no rows" }), "no rows");
    assert.deepEqual(states(file, unknown), { AP: "unverified", EO: "uncertified" });
    assert.equal(states(file, unknown, { ...SAME, difference: "they differ" })["AP"], "void");
  });
});

function batched(clock: VirtualClock, name: string, answer: Answer, failure?: Error) {
  const instance = new TimedInstance(clock, 1, answer);
  instance.failure = failure;
  return new BatchedModel({
    signature: signature({ name, maxBatchSize: 2, inputs: [spec("x", [2])], outputs: [spec("scores", [2])] }),
    instances: [instance],
    batching: null,
    queuePolicy: { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false },
    clock,
  });
}

describe("golden rows", () => {
  const CONFIDENCES = [
    [0.95, 0.8],
    [0.6, 0.9],
    [0.901, 0.7],
  ];
  const INPUT = fp32("x", [3, 2], CONFIDENCES.flat());

  /** What level k answers when its confidences move by `shift`. */
  function answers(k: number, shift = 0): Tensor {
    const moved = CONFIDENCES.flatMap((row) => row.map((q) => q + shift));
    const [scores] = confidentAs(k)({ ...REQUEST, inputs: [fp32("x", [3, 2], moved)] });
    assert.ok(scores);
    return scores;
  }
  const REQUEST = {
    modelName: "m",
    modelVersion: "",
    id: "",
    parameters: new Map(),
    inputs: [INPUT],
    requestedOutputs: [],
  };

  async function replay(test: TestContext, arrays: readonly (readonly [string, Tensor])[] | string, failure?: Error) {
    const bytes = typeof arrays === "string" ? arrays : writeNpz(new Map(arrays));
    const root = await temporaryFiles(test, arrays === "" ? { "1/": "" } : { [`1/${GOLDEN_FILE}`]: bytes });
    const clock = new VirtualClock();
    const models = ["small", "giant"].map((name, k) => batched(clock, name, confidentAs(k), failure));
    const finding = replayGoldenFile(join(root, "1", GOLDEN_FILE), {
      file: certifiedFile(),
      signature: signature({ name: "M", inputs: [spec("x", [2])], outputs: [spec("scores", [2])] }),
      models,
      clock,
    });
    let isSettled = false;
    void finding.then(() => {
      isSettled = true;
    });
    while (!isSettled) {
      await new Promise((resolve) => setImmediate(resolve));
      await clock.advance(1);
    }
    for (const { statistics } of models) {
      const { inferenceCount, executionCount, success, fail } = statistics;
      const counts = [inferenceCount, executionCount, success.count, fail.count];
      assert.deepEqual(counts, [0, 0, 0, 0], "golden rows are nobody's requests");
    }
    return finding;
  }

  it("are the same within rounding, asked in the level's batches", async (test) => {
    const finding = await replay(test, [
      ["input:x", INPUT],
      ["level0:scores", answers(0, 1e-5)],
      ["level1:scores", answers(1)],
    ]);
    assert.deepEqual(finding, SAME);
  });

  it("differ: the level, the row and how far", async (test) => {
    const finding = await replay(test, [
      ["input:x", INPUT],
      ["level0:scores", answers(0)],
      ["level1:scores", answers(1, 0.05)],
    ]);
    assert.match(
      finding.difference ?? "",
      /level 1 \('giant'\) answers the golden rows otherwise: output 'scores', row \d: 0\.\d+ instead of 0\.\d+/,
    );
  });

  it("a row that takes another way voids the points that send it there", async (test) => {
    // Row 2 had 0.90005 and has 0.89995: within the tolerance of outputs, but on the other side of AP's cut at 0.9.
    const before = fp32("scores", [3, 2], [0.95, 0.05, 0.6, 0.4, 0.90005, 0.09995]);
    const shifted = fp32("x", [3, 2], [0.95, 0.8, 0.6, 0.9, 0.89995, 0.7]);
    const finding = await replay(test, [
      ["input:x", shifted],
      ["level0:scores", before],
      ["level1:scores", answers(1)],
    ]);
    assert.equal(finding.difference, undefined);
    assert.deepEqual([...finding.routes.keys()], ["AP"]);
    assert.match(
      finding.routes.get("AP") ?? "",
      /row 2, confidence 0.8\d+ instead of 0.9\d+, goes to level 1 instead of 0/,
    );
  });

  it("another type or shape is a difference", async (test) => {
    const finding = await replay(test, [
      ["input:x", INPUT],
      ["level0:scores", { ...answers(0), shape: [3, 1, 2] }],
    ]);
    assert.match(finding.difference ?? "", /output 'scores' is FP32 \[3,2\], at calibration FP32 \[3,1,2\]/);
  });

  it("cannot be compared: missing or broken file, nothing of a level, a level that fails", async (test) => {
    assert.match((await replay(test, "")).gap ?? "", /there is no golden.npz beside cascade.json/);
    assert.match((await replay(test, "no zip")).gap ?? "", /golden.npz cannot be read: /);
    assert.match((await replay(test, [["level0:scores", answers(0)]])).gap ?? "", /holds no inputs/);
    const input = ["input:x", INPUT] as const;
    assert.match((await replay(test, [input])).gap ?? "", /holds no answers of level 0 \('small'\)/);
    const few = fp32("scores", [2, 2], [1, 0, 1, 0]);
    assert.match(
      (await replay(test, [input, ["level0:scores", few]])).gap ?? "",
      /'level0:scores' has 2 rows, the inputs 3/,
    );
    const failing = await replay(test, [input, ["level0:scores", answers(0)]], new Error("broken"));
    assert.match(failing.gap ?? "", /could not be compared/);
  });
});
