import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { parsePlanOptions } from "../../../cli/plan/options.ts";
import { readPlanInputs } from "../../../cli/plan/plan-inputs.ts";
import { levelHash } from "../../../model-repo/backends/certificate-hash.ts";
import { reachOfRouting } from "../../../planner/simulate/ways.ts";
import { PROFILE_FORMAT_VERSION } from "../../../proto/files/profile-file.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const DEMO = "examples/fashion-mnist";
const MODELS = `${DEMO}/models`;

async function profiled(name: string): Promise<object> {
  return {
    name,
    version: "1",
    modelHash: await levelHash(join(MODELS, name, "1")),
    ...{ maxBatchSize: 64, weightBytes: 1, inputBytesPerRow: 4, outputBytesPerRow: 4, graph: null },
    classes: [{ class: "core", batches: [{ batchSize: 1, serviceMs: [1], peakBytes: 1, energy: null }], stopped: "" }],
  };
}

/** What is read for the demo's cascade with `flags`. */
async function read(context: TestContext, ...flags: string[]) {
  const folder = await temporaryFiles(context, {
    "profile.json": JSON.stringify({
      formatVersion: PROFILE_FORMAT_VERSION,
      createdAt: "2026-01-01T00:00:00.000Z",
      runtime: { onnxruntime: "1.30.0", node: "v22.23.3", providers: ["cpu"], machine: "test" },
      models: await Promise.all(["fashion-xs", "fashion-m", "fashion-l"].map(profiled)),
    }),
    "devices.json": JSON.stringify({
      formatVersion: 1,
      classes: [{ name: "core", kind: "cpu", memoryBytes: 2 ** 30 }],
      devices: [{ id: "a", class: "core" }],
    }),
    "workload.json": JSON.stringify({ formatVersion: 1, rate: 50, slo: { latencyMs: 500, percentile: 0.99 } }),
  });
  const file = (kind: string) => [`--${kind}`, join(folder, `${kind}.json`)];
  const options = parsePlanOptions([
    ...["--model-repository", MODELS, "--objective", "throughput", "--output", join(folder, "plan")],
    ...[...file("profile"), ...file("devices"), ...file("workload"), "--cascade", "fashion", ...flags],
  ]);
  assert.ok(options !== "help");
  return readPlanInputs(options);
}

describe("inputs of a plan for a cascade", () => {
  it("--recorded: the point and each gear take the rows' ways by their own gates", async (context) => {
    const { workload, gearPoints, cascade } = await read(
      context,
      "--recorded",
      `${DEMO}/recorded/levels.npz`,
      "--operating-point",
      "EO",
    );
    assert.equal(cascade?.operatingPoint, "EO");
    assert.equal(workload.routing.kind, "recorded");
    const reach = new Map(gearPoints.map(({ name, routing }) => [name, reachOfRouting(routing, 3)]));
    assert.deepEqual(reachOfRouting(workload.routing, 3), reach.get("EO"));
    // EO never asks the last level, AP does.
    assert.equal(reach.get("EO")?.[2], 0);
    assert.ok((reach.get("AP")?.[2] ?? 0) > 0.09);
    for (const { routing } of gearPoints) assert.equal(routing.kind, "recorded");
  });

  it("without it ways are drawn by the point's paths", async (context) => {
    const { workload, gearPoints } = await read(context);
    assert.deepEqual(workload.routing, { kind: "paths", paths: workload.paths });
    for (const { routing } of gearPoints) assert.equal(routing.kind, "paths");
  });
});
