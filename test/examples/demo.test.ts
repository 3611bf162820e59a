/** The demo through the real server: accuracy of each level and of the cascade on the committed images; its clients. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { ServerProcess } from "../../bench/server-process.ts";
import { IMAGE_SIDE, imageBytes, readTestSet } from "../../examples/fashion-mnist/dataset.ts";
import { parseCascadeFile } from "../../proto/files/read-cascade-file.ts";
import type { InferenceResponse } from "../../proto/inference.ts";
import { InferClient } from "../support/infer.ts";
import { type Ended, runCommand } from "../support/run-command.ts";
import { floats, integers } from "../support/tensors.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const BATCH = 50;
const CLASSES = 10;
const LEVELS = ["fashion-xs", "fashion-m", "fashion-l"] as const;
/** Right answers among the 2,000, measured on x64 with AVX-512. */
const MEASURED = { "fashion-xs": 1790, "fashion-m": 1839, "fashion-l": 1878, fashion: 1870 };
/** Of these, answered at each level of the cascade. */
const MEASURED_ANSWERED = [1253, 523, 224];
/** Other processors round otherwise: that many images may sit so close to a boundary that they change sides. */
const ROUNDING_IMAGES = 2;
/** The certified policy that serves. */
const POLICY = "examples/fashion-mnist/models/fashion/2/cascade.json";
/** Confidences are compared across batches of different sizes, which may differ in their last bits. */
const ROUNDING = 1e-4;

interface Row {
  readonly logits: readonly number[];
  readonly label: number;
  readonly confidence: number;
}

describe("the demo", () => {
  const testSet = readTestSet();
  let folder = "";
  let server: ServerProcess;
  let client: InferClient;
  const rowsOf = new Map<string, Row[]>();
  const policy = parseCascadeFile(readFileSync(join(ROOT, POLICY), "utf8"), POLICY);
  const accepts = policy.operatingPoints
    .find((point) => point.name === policy.default)
    ?.gates.map((gate) => gate.accept);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hybridserve-demo-"));
    const repository = join(ROOT, "examples/fashion-mnist/models");
    server = await ServerProcess.start({ name: "demo", checkout: ROOT, repository, logFolder: folder, nodeFlags: [] });
    client = new InferClient(server.grpcPort);
  });
  after(async () => {
    client?.close();
    await server?.stop(); // none where the start failed
    await rm(folder, { recursive: true, force: true });
  });

  /** All images through a model, 50 a request, eight requests at a time. */
  async function askAll(model: string): Promise<InferenceResponse[]> {
    const responses: InferenceResponse[] = [];
    for (let first = 0; first < testSet.count; first += 8 * BATCH) {
      const firsts = Array.from({ length: 8 }, (_, i) => first + i * BATCH).filter((at) => at < testSet.count);
      const asked = firsts.map((at) => {
        const data = imageBytes(testSet, at, BATCH);
        const shape = [BATCH, 1, IMAGE_SIDE, IMAGE_SIDE];
        return client.infer(model, [{ name: "image", datatype: "FP32", shape, data }]);
      });
      responses.push(...(await Promise.all(asked)));
    }
    return responses;
  }

  function rightAnswers(rows: readonly Row[]): number {
    return rows.filter((row, i) => row.label === testSet.labels[i]).length;
  }

  for (const model of LEVELS) {
    it(`${model} answers as measured`, async () => {
      const temperature = Number(policy.levels[LEVELS.indexOf(model)]?.confidence?.params["temperature"] ?? 1);
      const rows = (await askAll(model)).flatMap((response) => readRows(floats(find(response, "logits")), temperature));
      rowsOf.set(model, rows);
      assert.equal(rows.length, testSet.count);
      assertClose(rightAnswers(rows), MEASURED[model], ROUNDING_IMAGES);
    });
  }

  it("the cascade sends every image the way its thresholds say and answers as the level it names", async () => {
    const responses = await askAll("fashion");
    const rows = responses.flatMap((response) => readRows(floats(find(response, "logits")), 1));
    const levels = responses.flatMap((response) => integers(find(response, "CASCADE_LEVEL")));
    const confidences = responses.flatMap((response) => floats(find(response, "CASCADE_CONFIDENCE")));
    const answered = LEVELS.map((_, k) => levels.filter((level) => level === k).length);
    for (const [i, row] of rows.entries()) {
      const alone = LEVELS.map((model) => rowsOf.get(model)?.[i]);
      const allowed = allowedLevels(
        alone.map((level) => level?.confidence ?? Number.NaN),
        accepts ?? [],
      );
      assert.ok(allowed.includes(levels[i] ?? -1), `image ${i} was answered at level ${levels[i]}, not at ${allowed}`);
      const level = alone[levels[i] ?? -1];
      assert.ok(level !== undefined && isClose(row.logits, level.logits), `image ${i}: logits are not the level's own`);
      assert.ok(Math.abs((confidences[i] ?? 0) - level.confidence) < ROUNDING, `image ${i}: confidence`);
    }
    assert.equal(rows.length, testSet.count);
    assertClose(rightAnswers(rows), MEASURED.fashion, ROUNDING_IMAGES);
    for (const [k, count] of MEASURED_ANSWERED.entries()) assertClose(answered[k] ?? 0, count, ROUNDING_IMAGES);
    const told = responses.map((response) => response.parameters.get("cascade_rows_per_level")?.value);
    const sums = LEVELS.map((_, k) => told.reduce((sum: number, text) => sum + Number(String(text).split(",")[k]), 0));
    assert.deepEqual(sums, answered);
  });

  it("demo:ask prints a table of pictures and answers", async () => {
    const { code, stdout, stderr } = await runExample(
      "examples/fashion-mnist/ask.ts",
      `--url=127.0.0.1:${server.grpcPort}`,
    );
    assert.deepEqual([code, stderr], [0, ""]);
    const lines = stdout.split("\n");
    assert.match(lines[0] ?? "", /answer +level +confidence +true label +time/);
    assert.equal(lines.filter((line) => /\d level? *|\d\.\d %/.test(line)).length >= 6, true);
    assert.match(stdout, /\d of 6 right; answered \d at level 0/);
  });

  it("demo:ask says what to do where no server runs, and what is wrong with its options", async () => {
    const nobody = await runExample("examples/fashion-mnist/ask.ts", "--url=127.0.0.1:1");
    assert.equal(nobody.code, 1);
    assert.match(nobody.stderr, /^demo:ask: no server answers at that address.*npm start\n$/);
    const wrong = await runExample("examples/fashion-mnist/ask.ts", "--count=none");
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /whole numbers\n\(--help lists the options\)\n$/);
  });

  it("the TypeScript client of the examples gets its answers", async () => {
    const address = `127.0.0.1:${server.grpcPort}`;
    const { code, stdout, stderr } = await runExample("examples/clients/typescript/infer.ts", address);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^Ankle boot +level 0 +confidence \d/);
    assert.match(stdout, /fashion version 2; rows answered at each level: \d,\d,\d\n$/);
  });
});

function runExample(file: string, ...parameters: string[]): Promise<Ended> {
  return runCommand(process.execPath, [join(ROOT, file), ...parameters]);
}

function find(response: InferenceResponse, name: string) {
  return response.outputs.find((tensor) => tensor.name === name);
}

/** Rows of ten logits with their class and its softmax probability at a temperature. */
function readRows(values: readonly number[], temperature: number): Row[] {
  return Array.from({ length: values.length / CLASSES }, (_, i) => {
    const logits = values.slice(i * CLASSES, (i + 1) * CLASSES);
    const highest = Math.max(...logits);
    const confidence = 1 / logits.reduce((sum, logit) => sum + Math.exp((logit - highest) / temperature), 0);
    return { logits, label: logits.indexOf(highest), confidence };
  });
}

/** Levels that may answer a row of these confidences: one, or two where a confidence sits on its threshold. */
function allowedLevels(confidences: readonly number[], accepts: readonly number[]): number[] {
  const levels: number[] = [];
  for (const [k, accept] of accepts.entries()) {
    const margin = (confidences[k] ?? 0) - accept;
    if (margin >= -ROUNDING) levels.push(k);
    if (margin >= ROUNDING) return levels;
  }
  return [...levels, accepts.length];
}

function isClose(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => Math.abs(value - (b[i] ?? Number.NaN)) < 1e-3);
}

function assertClose(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not within ${tolerance} of ${expected}`);
}
