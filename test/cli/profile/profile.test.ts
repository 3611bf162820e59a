/** The command as users run it, on the demo's models. Starts processes with models in them, which takes seconds. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { profileCommand } from "../../../cli/profile.ts";
import { profileJson, readProfileFile } from "../../../proto/files/profile-file.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";

const MODELS = fileURLToPath(new URL("../../../examples/fashion-mnist/models", import.meta.url));
const GIBIBYTE = 2 ** 30;

async function profile(...argv: string[]) {
  let stdout = "";
  let stderr = "";
  const code = await profileCommand.run(argv, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

const core = (name: string, memoryBytes = 4 * GIBIBYTE) => ({ name, kind: "cpu", memoryBytes });

function devices(classes: readonly object[], list: readonly object[]): string {
  return JSON.stringify({ formatVersion: 1, classes, devices: list });
}

describe("hybridserve profile", () => {
  it("measures a model on the classes that are here, and says what kept it from the others", async (context) => {
    const folder = await temporaryFiles(context, {
      "devices.json": devices(
        [core("core"), core("tiny", 16 * 2 ** 20), core("far")],
        [
          { id: "a", class: "core" },
          { id: "b", class: "tiny" },
          { id: "c", class: "far", node: "another-machine" },
        ],
      ),
    });
    const output = join(folder, "profile.json");
    const argv = [
      ...["--model-repository", MODELS, "--model", "fashion-xs", "--output", output, "--samples", "6"],
      ...["--devices", join(folder, "devices.json"), "--batch-sizes", "1,4", "--cache", join(folder, "cache")],
    ];
    const { code, stdout, stderr } = await profile(...argv);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /fashion-xs {2}core +1 .* 6\n/);
    assert.match(
      stdout,
      /\nWritten: .*profile\.json\. Next, with a workload\.json:\n {2}hybridserve plan --model-repository \S+ --profile .* --objective throughput --output plan\n/,
    );
    assert.match(stderr, /fashion-xs on core: 12\/12 \(100 %\)/);
    const file = readProfileFile(await readFile(output, "utf8"), output);
    assert.equal(file.runtime.node, process.versions.node);
    const [model] = file.models;
    assert.ok(model);
    assert.match(model.modelHash, /^sha256:files:[0-9a-f]{64}$/);
    assert.deepEqual([model.maxBatchSize, model.inputBytesPerRow, model.outputBytesPerRow], [64, 28 * 28 * 4, 40]);
    assert.ok(model.weightBytes > 30_000 && model.weightBytes < 60_000);
    const [here, tiny, far] = model.classes;
    assert.equal(here?.stopped, "");
    assert.deepEqual(
      here.batches.map(({ batchSize, serviceMs, energy }) => [batchSize, serviceMs.length, energy]),
      [
        [1, 6, null],
        [4, 6, null],
      ],
    );
    // A process with the runtime in it.
    assert.ok(here.batches.every(({ peakBytes }) => peakBytes > 50 * 2 ** 20 && peakBytes < GIBIBYTE));
    assert.deepEqual(tiny?.batches, []);
    assert.match(tiny.stopped, /does not load on a device of the class: the class has 16777216 bytes of memory/);
    assert.match(far?.stopped ?? "", /not on this machine \(its devices are on another-machine\)/);
    const { graph } = model;
    assert.ok(graph !== null && graph.cuts.length > 0);
    assert.deepEqual(Object.keys(graph.nodeMs), ["core", "tiny"]);

    // The same again takes what is known, from the cache and, for the other machine's class, from the output.
    const elsewhere = { class: "far", batches: here.batches, stopped: "" };
    const others = [{ ...model, name: "another" }];
    const merged = { ...file, models: [...others, { ...model, classes: [here, tiny, elsewhere] }] };
    await writeFile(output, profileJson(merged));
    const again = await profile(...argv, "--json", "--no-graph");
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /2 of 2 sizes were in the cache/);
    const second = readProfileFile(again.stdout, "stdout");
    assert.deepEqual(second.models, [...others, { ...model, classes: [here, tiny, elsewhere], graph: null }]);
    assert.deepEqual(readProfileFile(await readFile(output, "utf8"), output), second);
  });

  it("measures energy where there is a meter, and says which", async (context) => {
    const zone = "sys/class/powercap/intel-rapl:0";
    const folder = await temporaryFiles(context, {
      "devices.json": devices([core("core")], [{ id: "a", class: "core" }]),
      [`${zone}/name`]: "package-0\n",
      [`${zone}/max_energy_range_uj`]: "262143328850\n",
      [`${zone}/energy_uj`]: "0\n",
    });
    // A package whose power grows all the time: later windows take more than the idle one before them.
    const startedMs = performance.now();
    const counter = setInterval(() => {
      const seconds = (performance.now() - startedMs) / 1000;
      writeFileSync(join(folder, zone, "energy_uj"), String(Math.round(1e6 * 10 * seconds ** 2)));
    }, 10);
    const output = join(folder, "profile.json");
    const { code, stderr } = await profile(
      ...["--model-repository", MODELS, "--model", "fashion-xs", "--output", output, "--samples", "5", "--cache", ""],
      ...["--devices", join(folder, "devices.json"), "--no-graph", "--batch-sizes", "2"],
      ...["--sysfs-root", join(folder, "sys"), "--nvml-library", join(folder, "none")],
    ).finally(() => clearInterval(counter));
    assert.equal(code, 0, stderr);
    const [model] = readProfileFile(await readFile(output, "utf8"), output).models;
    const energy = model?.classes[0]?.batches[0]?.energy;
    assert.equal(energy?.source, "rapl:package-0");
    assert.ok(energy.joules > 0);
  });

  it("takes the levels of a cascade, within the time limit", async (context) => {
    const folder = await temporaryFiles(context, {
      "devices.json": devices([core("core")], [{ id: "a", class: "core" }]),
    });
    const output = join(folder, "profile.json");
    const { code, stderr } = await profile(
      ...["--model-repository", MODELS, "--model", "fashion", "--output", output, "--samples", "1000", "--cache", ""],
      ...["--devices", join(folder, "devices.json"), "--no-graph", "--time-limit", "6"],
    );
    assert.equal(code, 0, stderr);
    const { models } = readProfileFile(await readFile(output, "utf8"), output);
    assert.deepEqual(
      models.map(({ name }) => name),
      ["fashion-xs", "fashion-m", "fashion-l"],
    );
    assert.ok(models.some(({ classes }) => classes[0]?.stopped.startsWith("time limit")));
  });

  it("leaves out levels that other servers run, and refuses them where they are named", async (context) => {
    const config = (backend: string) =>
      `backend: "${backend}"\ninput [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]\n` +
      'output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]\n';
    const levels = ["here", "there"].map((model) => ({
      model,
      version: "1",
      confidence: { function: "max_prob", kind: "logits", params: {}, outputs: { scores: "y" } },
    }));
    const points = [{ name: "p", gates: [{ accept: 0.5 }], certificate: null }];
    const cascade = { formatVersion: 1, levels, operatingPoints: points, default: "p" };
    const folder = await temporaryFiles(context, {
      "models/both/config.pbtxt": config("cascade"),
      "models/both/1/cascade.json": JSON.stringify(cascade),
      "models/here/config.pbtxt": config("identity"),
      "models/here/1/": "",
      "models/there/config.pbtxt": config("kserve"),
      "models/there/1/": "",
    });
    const of = (model: string) =>
      profile(
        ...["--model-repository", join(folder, "models"), "--model", model, "--cache", ""],
        ...["--output", join(folder, "p.json")],
      );
    const all = await of("both");
    assert.equal(all.code, 1);
    assert.match(all.stderr, /note: left out: model 'here' has the backend 'identity'/);
    assert.match(
      all.stderr,
      /note: left out: model 'there' has the backend 'kserve': only models that onnxruntime runs/,
    );
    assert.match(all.stderr, /error: no model is left that could be profiled here\n$/);
    assert.match((await of("there")).stderr, /^error: model 'there' has the backend 'kserve'/m);
  });

  it("fails where no model ran, with the reason", async (context) => {
    const folder = await temporaryFiles(context, {
      "devices.json": devices([core("far")], [{ id: "a", class: "far", node: "elsewhere" }]),
    });
    const { code, stderr } = await profile(
      ...["--model-repository", MODELS, "--model", "fashion-xs", "--output", join(folder, "p.json"), "--no-graph"],
      ...["--devices", join(folder, "devices.json"), "--cache", ""],
    );
    assert.equal(code, 1);
    assert.match(stderr, /error: no model ran on any device of this machine/);
  });

  const mistakes: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["a model that is not there", ["--model", "fashoin"], /^error: there is no model 'fashoin' in /m],
    [
      "an inventory that is not there",
      ["--model", "fashion-xs", "--devices", "/no.json"],
      /^error: --devices: there is no file .*; hybridserve doctor --devices/m,
    ],
    ["data that are not there", ["--model", "fashion-xs", "--data", "/no.npz"], /^error: --data: .*ENOENT/m],
  ];
  for (const [what, argv, text] of mistakes) {
    it(`refuses ${what}`, async (context) => {
      const folder = await temporaryFiles(context, {});
      const all = ["--model-repository", MODELS, "--output", join(folder, "p.json"), "--cache", "", ...argv];
      const { code, stderr } = await profile(...all);
      assert.equal(code, 1);
      assert.match(stderr, text);
    });
  }

  it("says what is wrong with the command line", async () => {
    const { code, stderr } = await profile("--model", "m");
    assert.equal(code, 2);
    assert.match(
      stderr,
      /^hybridserve profile: name a repository with --model-repository DIR\nSee: hybridserve profile --help/,
    );
    assert.equal((await profile("--help")).code, 0);
  });
});
