/** Plans that do not fit, through `hybridserve serve`: stages are written and servers started, which takes seconds. */
import assert from "node:assert/strict";
import { appendFile, cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { serveCommand } from "../../../cli/serve.ts";
import { describeOnnxRuntime } from "../../../model-repo/onnx-providers.ts";
import { readNpz, writeNpz } from "../../../proto/files/npz.ts";
import type { PlanFile } from "../../../proto/files/plan-file.ts";
import { textHash } from "../../../proto/files/policy-hash.ts";
import { SharedCleanup } from "../../support/temporary-files.ts";
import { inputRows, type PlacedRepository, placedRepository, planText } from "../support/placed-repository.ts";
import { FREE_PORTS, ServedProcess } from "../support/served-process.ts";
import { startedServer } from "../support/started-server.ts";

/** Nothing but what the test changes. */
type Change = (copy: PlanCopy) => Promise<PlanFile | string>;

interface PlanCopy {
  readonly models: string;
  readonly folder: string;
  readonly plan: PlanFile;
}

/** A golden output that the stages do not give, with its hash in the plan. */
async function otherGolden({ folder, plan }: PlanCopy): Promise<PlanFile> {
  const path = join(folder, "golden", "giant.npz");
  const arrays = readNpz(await readFile(path), path);
  const scores = arrays.get("output:scores");
  assert.ok(scores);
  const moved = { ...scores, data: Uint8Array.from(scores.data, (byte, i) => (i === 3 ? byte ^ 0x80 : byte)) };
  const bytes = writeNpz(new Map([...arrays, ["output:scores", moved]]));
  await writeFile(path, bytes);
  return {
    ...plan,
    models: plan.models.map((model) =>
      model.numerics === null
        ? model
        : { ...model, numerics: { ...model.numerics, golden: { ...model.numerics.golden, hash: textHash(bytes) } } },
    ),
  };
}

function withProvenance(change: Partial<PlanFile["provenance"]>): Change {
  return async ({ plan }) => ({ ...plan, provenance: { ...plan.provenance, ...change } });
}

const REFUSALS: readonly (readonly [string, Change, RegExp])[] = [
  ["text that is not JSON", async () => "{", /^error: PLAN_INVALID: \S*plan\.json: .*JSON/],
  [
    "a key that plans do not have",
    async ({ plan }) => JSON.stringify({ ...JSON.parse(planText(plan)), surprise: 1 }),
    /^error: PLAN_INVALID: \S*plan\.json: surprise is not a known key/,
  ],
  [
    "shares that do not add up",
    async ({ plan }) => ({ ...plan, placements: plan.placements.map((each) => ({ ...each, share: 0.5 })) }),
    /^error: PLAN_INCONSISTENT: \S*plan\.json: the shares of stage 'giant-0' .*; make the plan anew: hybridserve plan/,
  ],
  [
    "another runtime",
    withProvenance({ onnxruntime: "1.0.0" }),
    /^error: PLAN_STALE_RUNTIME: the plan was measured with onnxruntime 1\.0\.0, this is .*\(hybridserve profile\), then make/,
  ],
  [
    "another profile beside the plan",
    async ({ folder, plan }) => {
      await writeFile(join(folder, "profile.json"), '{"formatVersion": 1}');
      return plan;
    },
    /^error: PLAN_STALE_PROFILE: .*; make the plan anew: hybridserve plan/,
  ],
  [
    "a model whose file was changed",
    async ({ models, plan }) => {
      await appendFile(join(models, "small", "1", "model.onnx"), "x");
      return plan;
    },
    /^error: PLAN_STALE_MODEL: model 'small' version 1: the plan expects .*; profile it again \(hybridserve profile --model small\)/,
  ],
  [
    "a stage file that was changed",
    async ({ folder, plan }) => {
      await appendFile(join(folder, "stages", "giant-1.onnx"), "x");
      return plan;
    },
    /^error: PLAN_STALE_MODEL: the plan's file 'stages\/giant-1\.onnx' is sha256:.*; make the plan anew: hybridserve plan/,
  ],
  [
    "weights of the stages that were changed",
    async ({ folder, plan }) => {
      await appendFile(join(folder, "stages", "giant.weights"), "x");
      return plan;
    },
    /^error: PLAN_STALE_MODEL: the plan's file 'stages\/giant\.weights' is sha256:.*; make the plan anew/,
  ],
  [
    "stages that answer otherwise than the whole model did",
    otherGolden,
    /^error: .*giant.*PLAN_STALE_MODEL: the stages of model 'giant' answer 'scores' up to .* plan again on this machine/,
  ],
  [
    "cores that this process may not use",
    async ({ plan }) => ({
      ...plan,
      devices: plan.devices.map((device, i) => (i === 1 ? { ...device, cpus: "4095" } : device)),
    }),
    /^error: PLAN_DEVICE_MISSING: device 'core1' needs cores 4095; .*\(hybridserve doctor --devices\)/,
  ],
];

const CUDA: Change = async ({ plan }) => ({
  ...plan,
  classes: plan.classes.map((each) => ({ ...each, kind: "cuda" })),
  devices: plan.devices.map((device, ordinal) => ({ ...device, cpus: "", ordinal })),
});

describe("a plan that does not fit", () => {
  let repository: PlacedRepository;
  const cleanup = new SharedCleanup();
  before(async () => {
    repository = await placedRepository(cleanup, { weightsApart: true });
  });
  after(() => cleanup.run());

  /** A copy of repository and plan with one thing changed. */
  async function copyWith(t: TestContext, change: Change): Promise<{ models: string; file: string }> {
    const root = join(repository.folder, "..", `copy-${t.name.replaceAll(/\W/g, "-")}`);
    const copy = { models: join(root, "models"), folder: join(root, "plan"), plan: repository.staged };
    await cp(repository.models, copy.models, { recursive: true });
    await cp(repository.folder, copy.folder, { recursive: true });
    const plan = await change(copy);
    const file = join(copy.folder, "plan.json");
    await writeFile(file, typeof plan === "string" ? plan : planText(plan));
    return { models: copy.models, file };
  }

  async function flagsFor(t: TestContext, change: Change): Promise<string[]> {
    const { models, file } = await copyWith(t, change);
    return [`--model-repository=${models}`, `--plan=${file}`, `--log-file=${file}.log`, ...FREE_PORTS];
  }

  async function assertRefused(t: TestContext, change: Change, text: RegExp): Promise<void> {
    let stdout = "";
    let stderr = "";
    const code = await serveCommand.run(await flagsFor(t, change), {
      stdout: (part) => {
        stdout += part;
      },
      stderr: (part) => {
        stderr += part;
      },
    });
    assert.equal(code, 1);
    assert.match(stderr, /^[^\n]+\n$/, "one line");
    assert.match(stderr, text);
    assert.doesNotMatch(stdout, /Started/);
  }

  for (const [what, change, text] of REFUSALS) {
    it(`ends the start: ${what}`, (t) => assertRefused(t, change, text));
  }

  it("ends the start: GPUs where the runtime cannot reach any", async (t) => {
    const { providers } = await describeOnnxRuntime();
    if (providers.some(({ name, state }) => name === "cuda" && state !== "missing")) {
      t.skip("the CUDA provider is installed here");
      return;
    }
    await assertRefused(t, CUDA, /^error: PLAN_DEVICE_MISSING: device 'core0' needs CUDA: .*hybridserve doctor/);
  });

  it("ends the start in a process of its own, too", async (t) => {
    const process = new ServedProcess(t, ["serve", ...(await flagsFor(t, withProvenance({ onnxruntime: "1.0.0" })))]);
    assert.deepEqual(await process.ended, { code: 1, signal: null });
    assert.match(process.stderr, /^error: PLAN_STALE_RUNTIME: [^\n]*\n$/);
  });

  for (const [what, change, text] of [
    ["before anything is loaded", withProvenance({ onnxruntime: "1.0.0" }), /PLAN_STALE_RUNTIME: .*; serving without/],
    ["at the load of its stages", otherGolden, /PLAN_STALE_MODEL: the stages .*; serving without a plan/],
  ] as const) {
    it(`is left out with --plan-fallback, loudly: ${what}`, async (t) => {
      const { models, file } = await copyWith(t, change);
      const { infer, metrics, log } = await startedServer(t, models, `--plan=${file}`, "--plan-fallback");
      assert.match(await log(), text);
      assert.deepEqual((await infer("giant", [inputRows(2, 1)])).outputs[0]?.shape, [2, 4]);
      assert.match(await metrics(), /^hybridserve_placement_plan_state\{state="default"\} 1$/m);
    });
  }
});
