import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { openRuntime } from "../../../cli/calibrate/open-runtime.ts";
import type { CascadeFile, OperatingPoint } from "../../../proto/files/cascade-file.ts";
import { temporaryFiles } from "../../support/temporary-files.ts";
import { calibrate, example } from "./calibrate-runs.ts";

/** Certifies recorded outputs of an example as a new cascade, twice; both must say the same. */
async function calibrateTwice(context: TestContext, name: string, ...argv: readonly string[]): Promise<CascadeFile> {
  const models = join(await temporaryFiles(context, {}), "models");
  await cp(example(`${name}/models`), models, { recursive: true });
  const files: CascadeFile[] = [];
  for (let i = 0; i < 2; i++) {
    const run = await calibrate(
      ...["--model-repository", models, "--model", "fresh", "--data", example(`${name}/recorded.npz`)],
      ...["--dry-run", "--json", ...argv],
    );
    assert.equal(run.code, 0, run.stderr);
    files.push(JSON.parse(run.stdout).cascade);
  }
  const [first, second] = files;
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual({ ...first, calibration: null }, { ...second, calibration: null });
  return first;
}

function point(file: CascadeFile, name: string): OperatingPoint {
  const found = file.operatingPoints.find((each) => each.name === name);
  assert.ok(found !== undefined, `no point ${name}`);
  return found;
}

/** Cost of a point as a share of the last level's. */
function costShare(file: CascadeFile, { expected }: OperatingPoint): number {
  return (expected?.cost.value ?? Number.NaN) / (file.levels.at(-1)?.cost?.value ?? Number.NaN);
}

describe("calibrate on a table with four levels", () => {
  it("certifies a point of at most a fifth of the last level's multiply-adds, with cuts at every gate", async (t) => {
    const levels = ["letter-linear", "letter-mlp16", "letter-mlp128", "letter-mlp512"];
    const file = await calibrateTwice(
      ...([t, "letter", "--levels", levels.join(), "--costs", "442,714,5530,284698", "--max-drop", "0.01"] as const),
    );
    assert.deepEqual(
      file.levels.map((level) => [level.model, level.confidence?.outputs["scores"]]),
      [
        ["letter-linear", "scores"],
        ["letter-mlp16", "y"],
        ["letter-mlp128", "logits"],
        ["letter-mlp512", "out"],
      ],
    );
    const best = point(file, "AP");
    assert.equal(best.gates.length, 3);
    assert.ok((best.certificate?.bound ?? 1) <= 0.01);
    assert.ok(costShare(file, best) <= 0.2, `${costShare(file, best)}`);
  });
});

describe("calibrate --levels of sequence models", () => {
  it("makes a cascade that serves, with the mask among its outputs", async (t) => {
    const models = join(await temporaryFiles(t, {}), "models");
    await cp(example("tokens/models"), models, { recursive: true });
    const run = await calibrate(
      ...["--model-repository", models, "--model", "fresh", "--levels", "sum-s,sum-l", "--cache", ""],
      ...["--data", example("tokens/held-out.npz"), "--confidence", "min_token", "--max-drop", "0.02"],
    );
    assert.equal(run.code, 0, run.stderr);
    const warnings: string[] = [];
    const runtime = await openRuntime([models], ["fresh"], undefined, (text) => warnings.push(text));
    try {
      // Two digits, then padding.
      const tokens = new BigInt64Array([76n, 49n, 0n, 0n]);
      const input = { name: "tokens", datatype: "INT64", shape: [1, 4], data: new Uint8Array(tokens.buffer) } as const;
      const { outputs } = await runtime.run("fresh", "", [input], ["logits", "mask"]);
      assert.deepEqual(outputs[0]?.shape, [1, 4, 10]);
      const mask = outputs[1]?.data.slice() ?? new Uint8Array();
      assert.deepEqual([...new BigInt64Array(mask.buffer)], [1n, 1n, 0n, 0n]);
    } finally {
      await runtime.close();
    }
    assert.deepEqual(warnings, []);
  });
});

describe("calibrate on sequences", () => {
  it("certifies a point by the least sure token", async (t) => {
    const file = await calibrateTwice(
      ...([t, "tokens", "--levels", "sum-s,sum-m,sum-l", "--costs", "2330,7754,52490"] as const),
      ...["--confidence", "min_token", "--max-drop", "0.02"],
    );
    assert.deepEqual(
      file.levels.slice(0, -1).map((level) => level.confidence?.function),
      ["min_token", "min_token"],
    );
    const best = point(file, "AP");
    assert.ok((best.certificate?.bound ?? 1) <= 0.02);
    assert.ok(costShare(file, best) <= 0.4, `${costShare(file, best)}`);
    // A row is right when all its digits are: far fewer rows than digits are.
    assert.ok((best.expected?.lastLevelAccuracy ?? 0) > 0.9 && (best.expected?.lastLevelAccuracy ?? 1) < 0.98);
  });
});
