/** Jobs about graphs in their own process: the profile of a real model, and jobs that fail or are stopped. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { runGraphJob } from "../../../model-repo/graph/run-job.ts";
import { nodeWeights } from "../../../planner/partition/cut-graph.ts";
import { partition } from "../../../planner/partition/partition.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { node, onnxModel, tensorInfo } from "../../support/onnx-writer.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";
import { controlFlow, encoder, row, tokens, weight } from "./models.ts";
import { compareStaged, cutModel } from "./staged.ts";

const WIDE = 256;

/** Eight pairs of products, the last two pairs eight times as long; no node has a name. */
function uneven(): Buffer {
  const nodes: Buffer[] = [];
  const initializers: Buffer[] = [];
  for (let i = 0; i < 8; i++) {
    const inner = i < 6 ? WIDE : 8 * WIDE;
    initializers.push(weight(`w${i}`, WIDE, inner), weight(`v${i}`, inner, WIDE));
    nodes.push(node("MatMul", [`x${i}`, `w${i}`], [`h${i}`]), node("MatMul", [`h${i}`, `v${i}`], [`x${i + 1}`]));
  }
  return onnxModel({
    nodes: nodes.map(withoutName),
    initializers,
    inputs: [tensorInfo("x0", "FP32", ["N", WIDE])],
    outputs: [tensorInfo("x8", "FP32", ["N", WIDE])],
  });
}

/** `node` writes inputs and outputs, then the name: field 3. */
function withoutName(bytes: Buffer): Buffer {
  const start = bytes.indexOf(Buffer.from("\x1a"));
  return Buffer.concat([bytes.subarray(0, start), bytes.subarray(start + 2 + (bytes[start + 1] ?? 0))]);
}

function rows(count: number): Tensor[] {
  const data = Float32Array.from({ length: count * WIDE }, (_, i) => Math.sin(i));
  return [{ name: "x0", datatype: "FP32", shape: [count, WIDE], data: new Uint8Array(data.buffer) }];
}

describe("profile", () => {
  it("finds where the time goes, and the partition cuts there", async (context) => {
    const model = await cutModel(context, uneven(), rows(8));
    assert.ok(model.graph.nodes.every((each) => each.name === ""));
    const job = { kind: "profile", modelPath: model.modelPath, feed: model.feed, threads: 1 } as const;
    const { nodeMs, runMs } = await runGraphJob({ ...job, warmUpRuns: 2, runs: 9 });
    const times = nodeMs.map((ms) => ms ?? Number.NaN);
    const small = times.slice(0, 12).reduce((a, b) => a + b, 0);
    const large = times.slice(12).reduce((a, b) => a + b, 0);
    // 32 units of work against 12: a wide margin, for other work on the machine.
    assert.ok(large > small, `${large} ms against ${small} ms`);
    assert.ok(runMs >= (small + large) / 2);
    const found = partition({
      ...nodeWeights(model.cut),
      nodeMs: times,
      candidates: model.candidates.candidates,
      linkBytesPerMs: 1e6,
      stages: 2,
      memoryLimitBytes: Number.POSITIVE_INFINITY,
    });
    assert.ok(found.feasible);
    assert.ok((found.cuts[0] ?? 0) >= 10, `cut at ${found.cuts}`);
    const compared = await compareStaged(model, found.cuts);
    assert.deepEqual(compared.outputs, [{ name: "x8", isBitIdentical: true, maxAbs: 0 }]);
    const [expected] = compared.expected;
    assert.deepEqual([expected?.name, expected?.datatype, expected?.shape], ["x8", "FP32", [8, WIDE]]);
    assert.equal(expected?.data.byteLength, 8 * WIDE * 4);
  });

  it("has a time for every node of an optimised graph, control flow included", async (context) => {
    for (const [bytes, feed] of [
      [encoder(2), tokens()],
      [controlFlow(), row()],
    ] as const) {
      const { modelPath, cut } = await cutModel(context, bytes, feed, { optimise: "extended" });
      const { nodeMs } = await runGraphJob({ kind: "profile", modelPath, feed, threads: 1, warmUpRuns: 1, runs: 3 });
      for (const { index, name } of cut.nodes) assert.ok((nodeMs[index] ?? -1) >= 0, `no time of '${name}'`);
    }
  });
});

describe("a job that cannot be done", () => {
  it("rejects with the runtime's reason", async (context) => {
    const folder = await temporaryFiles(context, { "bad.onnx": "no model" });
    const modelPath = join(folder, "bad.onnx");
    await assert.rejects(
      runGraphJob({ kind: "optimise", modelPath, outputPath: join(folder, "out.onnx"), level: "basic" }),
      { code: "INTERNAL", message: /^onnx runtime error 7: .*Protobuf parsing failed/ },
    );
    await assert.rejects(runGraphJob({ kind: "types", modelPath, names: ["y"], feed: [] }), {
      code: "INVALID_ARGUMENT",
      message: /malformed ONNX model/,
    });
  });

  it("tells that a stage reads what nothing gives", async (context) => {
    const model = await cutModel(context, uneven(), rows(1));
    const alone = join(model.dataDirectory, "alone.onnx");
    const nodes = [node("Relu", ["other"], ["x8"])];
    const values = { inputs: [tensorInfo("other", "FP32", [1])], outputs: [tensorInfo("x8", "FP32", [1])] };
    await writeFile(alone, onnxModel({ nodes, ...values }));
    const job = { kind: "compare", whole: model.original, stageLevel: "disabled", feed: model.feed } as const;
    await assert.rejects(runGraphJob({ ...job, stages: [{ modelPath: alone }] }), {
      code: "INVALID_ARGUMENT",
      message: `stage '${alone}' reads 'other', which nothing gives`,
    });
    const { outputs } = await runGraphJob({ ...job, stages: [] });
    assert.deepEqual(outputs, [{ name: "x8", isBitIdentical: false, maxAbs: Number.POSITIVE_INFINITY }]);
  });

  it("is told from one whose process died", async (context) => {
    const folder = await temporaryFiles(context, { "child.mjs": "console.error('no memory'); process.exit(3);" });
    const job = { kind: "types", modelPath: "m.onnx", names: [], feed: [] } as const;
    await assert.rejects(runGraphJob(job, { childUrl: pathToFileURL(join(folder, "child.mjs")) }), {
      code: "UNAVAILABLE",
      message: "types 'm.onnx': the process ended without an answer (exit code 3); its last words: no memory",
    });
  });

  it("ends with its process when it is stopped, in a run too", async (context) => {
    const folder = await temporaryFiles(context, { "model.onnx": uneven() });
    const job = {
      kind: "profile",
      modelPath: join(folder, "model.onnx"),
      feed: rows(64),
      threads: 1,
      warmUpRuns: 0,
      runs: 1e9,
    } as const;
    await assert.rejects(runGraphJob(job, { signal: AbortSignal.timeout(1_000) }), {
      code: "CANCELLED",
      message: `profile '${job.modelPath}' was stopped`,
    });
    await assert.rejects(runGraphJob(job, { signal: AbortSignal.abort() }), { code: "CANCELLED" });
  });
});
