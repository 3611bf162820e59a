/** The command as users run it, on small models. Writes stages and measures them in processes, which takes seconds. */
import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { planCommand } from "../../../cli/plan.ts";
import { profileCommand } from "../../../cli/profile.ts";
import { checkPlan } from "../../../planner/plan-check.ts";
import { profileJson, readProfileFile } from "../../../proto/files/profile-file.ts";
import { readPlanFile } from "../../../proto/files/read-plan-file.ts";
import { floatTensor, node, onnxModel, tensorInfo } from "../../support/onnx-writer.ts";
import { SharedCleanup, temporaryFiles } from "../../support/temporary-files.ts";

const WIDTH = 64;
const GIBIBYTE = 2 ** 30;

/** `layers` times x = relu(x W), W its own in every layer. */
function chain(layers: number): Uint8Array {
  const names = Array.from({ length: layers }, (_, i) => i);
  const weights = (layer: number) =>
    Array.from({ length: WIDTH * WIDTH }, (_, i) => Math.sin(layer + i) / Math.sqrt(WIDTH));
  return onnxModel({
    nodes: names.flatMap((i) => [
      node("MatMul", [i === 0 ? "x" : `h${i - 1}`, `w${i}`], [`p${i}`]),
      node("Relu", [`p${i}`], [i === layers - 1 ? "y" : `h${i}`]),
    ]),
    inputs: [tensorInfo("x", "FP32", ["N", WIDTH])],
    outputs: [tensorInfo("y", "FP32", ["N", WIDTH])],
    initializers: names.map((i) => floatTensor(`w${i}`, [WIDTH, WIDTH], weights(i))),
  });
}

function config(name: string): string {
  const tensor = (tensorName: string) => `[ { name: "${tensorName}" data_type: TYPE_FP32 dims: [ ${WIDTH} ] } ]`;
  return `name: "${name}" backend: "onnxruntime" max_batch_size: 4 input ${tensor("x")} output ${tensor("y")}`;
}

const DEVICES = JSON.stringify({
  formatVersion: 1,
  classes: [
    {
      name: "core",
      kind: "cpu",
      memoryBytes: GIBIBYTE,
      watts: { bare: 1, idle: 2, active: 9, source: "made up for a test" },
    },
  ],
  devices: [
    { id: "a", class: "core" },
    { id: "b", class: "core" },
  ],
});

const WORKLOAD = {
  formatVersion: 1,
  rate: 50,
  slo: { latencyMs: 500, percentile: 0.99 },
  dataflow: { levels: ["small", "giant"], reach: [1, 0.2] },
};

describe("hybridserve plan", () => {
  const shared = new SharedCleanup();
  let folder = "";

  async function run(command: typeof planCommand, ...argv: string[]) {
    let stdout = "";
    let stderr = "";
    const code = await command.run(argv, {
      stdout: (text) => {
        stdout += text;
      },
      stderr: (text) => {
        stderr += text;
      },
    });
    return { code, stdout, stderr };
  }

  const at = (name: string) => join(folder, name);

  function plan(objective: string, output: string, ...more: string[]) {
    const argv = ["--model-repository", at("models"), "--profile", at("profile.json"), "--devices", at("devices.json")];
    const quick = ["--samples", "5", "--requests", "5000"];
    const kind = ["--objective", objective, "--output", at(output), "--workload", at("workload.json")];
    return run(planCommand, ...argv, ...quick, ...kind, ...more);
  }

  before(async () => {
    folder = await temporaryFiles(shared, {
      "models/small/1/model.onnx": chain(1),
      "models/small/config.pbtxt": config("small"),
      "models/giant/1/model.onnx": chain(6),
      "models/giant/config.pbtxt": config("giant"),
      "devices.json": DEVICES,
      "workload.json": JSON.stringify(WORKLOAD),
    });
    const models = ["--model-repository", at("models"), "--model", "small", "--model", "giant"];
    const quick = ["--samples", "5", "--cache", at("cache"), "--devices", at("devices.json")];
    const { code, stderr } = await run(profileCommand, ...models, ...quick, "--output", at("profile.json"));
    assert.equal(code, 0, stderr);
  });
  after(() => shared.run());

  it("writes a plan that its readers accept, with a report and the profile it was made from", async () => {
    const { code, stdout, stderr } = await plan("throughput", "whole");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /requests\/s at most within 500 ms/);
    assert.match(stdout, /Written: .*plan\.json .*Next: hybridserve serve .*--plan /);
    const file = readPlanFile(await readFile(at("whole/plan.json"), "utf8"), "plan.json");
    assert.deepEqual(checkPlan(file), []);
    assert.deepEqual(
      file.models.map(({ name, level, numerics }) => [name, level, numerics]),
      [
        ["small", 0, null],
        ["giant", 1, null],
      ],
    );
    assert.ok(file.prediction.throughput > 0);
    assert.ok((file.prediction.joulesPerRequest ?? 0) > 0);
    assert.equal(file.explanation.placements.length, file.placements.length);
    assert.deepEqual((await readdir(at("whole"))).sort(), ["plan.json", "profile.json", "report.html"]);
    assert.match(await readFile(at("whole/report.html"), "utf8"), /Plan for small, giant/);
  });

  it("cuts a model that does not load whole, and records that its stages answer as it does", async () => {
    const profile = readProfileFile(await readFile(at("profile.json"), "utf8"), "profile.json");
    const models = profile.models.map((model) =>
      model.name === "giant"
        ? { ...model, classes: model.classes.map((each) => ({ ...each, batches: [], stopped: "memory" })) }
        : model,
    );
    await writeFile(at("too-large.json"), profileJson({ ...profile, models }));
    const { code, stderr } = await plan("throughput", "staged", "--profile", at("too-large.json"));
    assert.equal(code, 0, stderr);
    const file = readPlanFile(await readFile(at("staged/plan.json"), "utf8"), "plan.json");
    assert.deepEqual(checkPlan(file), []);
    const giant = file.models.find(({ name }) => name === "giant");
    assert.ok((giant?.stages.length ?? 0) >= 2);
    assert.equal(giant?.numerics?.maxAbsDifference, 0);
    const stages = file.stages.filter(({ model }) => model === "giant");
    assert.equal(stages[0]?.inputs[0]?.from, "");
    assert.equal(stages[1]?.inputs[0]?.from, stages[0]?.id);
    for (const stage of stages) {
      assert.ok((await readFile(join(at("staged"), stage.file?.path ?? ""))).length > 0);
      assert.ok(stage.serviceMs[0]?.meanMs.every((ms) => ms > 0));
    }
    const folders = await readdir(join(at("staged"), "stages"));
    assert.equal(folders.length, 1, "cuts that were measured and not chosen leave no files");
  });

  it("keeps a cut whose stages run on some of the classes here", async () => {
    const { classes, devices } = JSON.parse(DEVICES) as { classes: { name: string }[]; devices: object[] };
    const tiny = { ...classes[0], name: "tiny", memoryBytes: 2 ** 25 };
    const inventory = {
      formatVersion: 1,
      classes: [tiny, ...classes],
      devices: [{ id: "c", class: "tiny" }, ...devices],
    };
    await writeFile(at("two-classes.json"), JSON.stringify(inventory));
    const more = ["--profile", at("too-large.json"), "--devices", at("two-classes.json")];
    const { code, stderr } = await plan("throughput", "mixed", ...more);
    assert.equal(code, 0, stderr);
    const file = readPlanFile(await readFile(at("mixed/plan.json"), "utf8"), "plan.json");
    assert.deepEqual([...new Set(file.devices.map((device) => device.class))], ["core"]);
    const stages = file.stages.filter(({ model }) => model === "giant");
    assert.ok(stages.length >= 2);
    assert.ok(stages.every(({ serviceMs }) => serviceMs.every((each) => each.class === "core")));
  });

  it("plans for energy, uses one device for so little, and replaces an older plan", async () => {
    const first = await plan("energy", "replaced");
    assert.equal(first.code, 0, first.stderr);
    const { code, stdout, stderr } = await plan("energy", "replaced", "--json");
    assert.equal(code, 0, stderr);
    const file = readPlanFile(stdout, "stdout");
    assert.deepEqual(
      file.devices.map(({ id }) => id),
      ["a"],
    );
    assert.match(file.prediction.energySource, /made up for a test/);
  });

  it("does not write into a folder that holds something else", async () => {
    await writeFile(at("models/notes.txt"), "mine");
    const { code, stderr } = await plan("throughput", "models");
    assert.equal(code, 1);
    assert.match(stderr, /^error: --output .*models holds '(small|giant|notes\.txt)', which is no part of a plan/);
  });

  it("does not replace a file", async () => {
    await writeFile(at("mine.json"), "mine");
    const { code, stderr } = await plan("throughput", "mine.json");
    assert.equal(code, 1);
    assert.match(stderr, /^error: --output .*mine\.json must be a folder: .*ENOTDIR/);
    assert.equal(await readFile(at("mine.json"), "utf8"), "mine");
  });

  it("names a model that the profile lacks or that changed since, and the command that mends it", async () => {
    await writeFile(
      at("other.json"),
      JSON.stringify({ ...WORKLOAD, dataflow: { levels: ["small", "huge"], reach: [1, 0.2] } }),
    );
    const absent = await plan("throughput", "none", "--workload", at("other.json"));
    assert.equal(absent.code, 1);
    assert.match(absent.stderr, /profile\.json has no model 'huge': hybridserve profile .*--model huge/);
    const text = await readFile(at("profile.json"), "utf8");
    await writeFile(at("stale.json"), text.replace(/sha256:files:[0-9a-f]{64}/, `sha256:files:${"0".repeat(64)}`));
    const stale = await plan("throughput", "none", "--profile", at("stale.json"));
    assert.equal(stale.code, 1);
    assert.match(
      stale.stderr,
      /is not what .*stale\.json measured \(its files changed\): run hybridserve profile again/,
    );
  });
});
