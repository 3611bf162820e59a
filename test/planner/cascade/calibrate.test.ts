/** The whole calibration on made-up levels: what is certified, what is written, what is refused. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { buildCascadeFile, POINT_AP, POINT_LAST } from "../../../planner/cascade/build-cascade-file.ts";
import {
  type CalibrationData,
  type CalibrationOptions,
  calibrateCascade,
  prepareSplits,
} from "../../../planner/cascade/calibrate.ts";
import { evaluateGates } from "../../../planner/cascade/evaluate.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { textHash } from "../../../proto/files/policy-hash.ts";
import { parseCascadeFile } from "../../../proto/files/read-cascade-file.ts";
import { level } from "../../support/cascades.ts";

const CLASSES = 4;

/** Three levels whose rows are easy or hard alike; the larger a level, the more of the hard ones it knows. */
function data(rows: number, skills: readonly number[] = [0.75, 0.88, 0.93], seed = 1): CalibrationData {
  const random = seededRandom(seed);
  const labels = Int32Array.from({ length: rows }, () => Math.floor(random() * CLASSES));
  const hardness = Float64Array.from({ length: rows }, random);
  const scores = skills.map((skill) => {
    const values = new Float32Array(rows * CLASSES);
    for (let row = 0; row < rows; row++) {
      const margin = (skill - (hardness[row] ?? 0)) * 8 + (random() - 0.5) * 2;
      const label = labels[row] ?? 0;
      values[row * CLASSES + label] = margin;
      values[row * CLASSES + ((label + 1) % CLASSES)] = 0.01;
    }
    return { values, rows, tokens: 1, classes: CLASSES, kind: "logits" as const, mask: null };
  });
  return {
    levels: ["xs", "m", "l"].map((name) => level(name)),
    scores,
    labels: { values: labels, tokens: 1 },
    costs: [1, 10, 100].map((value) => ({ value, unit: "cpuSeconds", source: "given" })),
    rowHashes: Array.from({ length: rows }, (_, row) => textHash(String(row)).slice("sha256:".length)),
    groups: null,
  };
}

/** The rows in groups of the sizes that `sizeOf` tells, one after another; a group's rows share its hash. */
function grouped(rows: CalibrationData, sizeOf: (group: number) => number): CalibrationData {
  const groups = new Int32Array(rows.rowHashes.length);
  for (let row = 0, group = 0; row < groups.length; group++) {
    for (let i = 0; i < sizeOf(group) && row < groups.length; i++) groups[row++] = group;
  }
  return { ...rows, groups, rowHashes: Array.from(groups, (group) => rows.rowHashes[group] ?? "") };
}

const OPTIONS: CalibrationOptions = {
  confidence: "auto",
  metric: "gap",
  epsilon: 0.01,
  risk: 0.05,
  hopeless: null,
  seed: 1,
  heldOut: false,
};
const BUILD = {
  ...OPTIONS,
  budgets: [0.5],
  certifyUses: 1,
  calibration: { levelHashes: ["", "", ""], provider: "cpu", createdAt: "2026-11-25", command: "test" },
};

function run(rows: CalibrationData, options: Partial<CalibrationOptions> = {}) {
  const all = { ...OPTIONS, ...options };
  const prepared = prepareSplits(rows, all.confidence);
  const calibrated = calibrateCascade(rows, prepared, all);
  return { prepared, calibrated, file: buildCascadeFile(rows, prepared, calibrated, { ...BUILD, ...all }) };
}

describe("calibrateCascade", () => {
  it("certifies a point that saves, and writes a file that reads back as it was", () => {
    const rows = data(8000);
    const { calibrated, file, prepared } = run(rows);
    assert.deepEqual(parseCascadeFile(JSON.stringify(file), "cascade.json"), file);
    const ap = file.operatingPoints.find((point) => point.name === POINT_AP);
    assert.equal(file.default, POINT_AP);
    assert.ok(ap?.certificate != null && ap.expected !== null);
    assert.ok(ap.certificate.bound <= 0.01 && ap.expected.gap <= ap.certificate.bound);
    assert.ok(ap.expected.cost.value < 50, `costs ${ap.expected.cost.value} of 100`);
    assert.equal(ap.certificate.samples, prepared.splits.certify.length);
    const again = evaluateGates(calibrated.certify, ap.gates, [1, 10, 100]);
    assert.equal(again.accuracy, ap.expected.accuracy);
    assert.deepEqual(again.reach, ap.expected.reach);
    assert.equal(calibrated.ablation.length, 2);
    assert.equal(calibrated.harm.length, CLASSES);
  });

  it("is the same whatever the order of the rows, up to rows of equal hash", () => {
    const rows = data(3000);
    const turned = Int32Array.from({ length: 3000 }, (_, i) => 2999 - i);
    const shuffled: CalibrationData = {
      ...rows,
      scores: rows.scores.map((scores) => ({
        ...scores,
        values: Float32Array.from(scores.values, (_, i) => {
          const row = turned[Math.floor(i / CLASSES)] ?? 0;
          return scores.values[row * CLASSES + (i % CLASSES)] ?? 0;
        }),
      })),
      labels: { tokens: 1, values: turned.map((row) => rows.labels.values[row] ?? 0) },
      rowHashes: Array.from(turned, (row) => rows.rowHashes[row] ?? ""),
    };
    assert.deepEqual(run(shuffled).file, run(rows).file);
  });

  it("falls back to the last level alone where too few rows certify nothing, and says what other margins give", () => {
    const { calibrated, file } = run(data(400), { epsilon: 0.001 });
    assert.equal(file.default, POINT_LAST);
    const last = file.operatingPoints.find((point) => point.name === POINT_LAST);
    assert.equal(last?.certificate?.method, "identity");
    assert.equal(last?.expected?.reach.at(-1), 1);
    const [tight, , , , , , loose] = calibrated.pairs;
    assert.ok(tight !== undefined && loose !== undefined && loose.cost <= tight.cost);
    assert.ok(tight.samplesForHalfCost > 400);
  });

  it("refuses rows on which the giant is always right, unless the user vouches for them", () => {
    const trained = data(2000, [0.7, 0.9, 1.5]);
    assert.throws(() => run(trained), /looks like data it was trained on.*--i-held-this-out/s);
    assert.doesNotThrow(() => run(trained, { heldOut: true }));
  });

  it("refuses too few rows", () => {
    assert.throws(() => run(data(60)), /rows fall into the fit split/);
  });

  it("refuses too few groups, in groups", () => {
    const rows = grouped(data(4000), () => 40);
    assert.throws(
      () => run(rows),
      /only \d+ of 100 groups \(4000 rows\) fall into the fit split; .*at least 50 groups.*give more groups/,
    );
  });

  it("certifies grouped rows by groups, weighed up to the largest of the other splits", () => {
    const rows = grouped(data(6000), (group) => (group % 5 === 0 ? 8 : 1));
    const { prepared, calibrated, file } = run(rows, { epsilon: 0.05 });
    const ap = file.operatingPoints.find((point) => point.name === POINT_AP);
    const certified = new Set(prepared.splits.certify.map((row) => rows.groups?.[row] ?? 0)).size;
    assert.equal(prepared.groups?.mostRows, 8);
    assert.equal(ap?.certificate?.method, "wsr-groups-fixed-sequence");
    assert.equal(ap?.certificate?.samples, certified);
    assert.ok(certified < prepared.splits.certify.length);
    // A promise about groups says less than one about as many independent rows.
    const alone = run({ ...rows, groups: null }, { epsilon: 0.05 });
    const bound = (steps: typeof calibrated.steps) => steps[1]?.bound ?? 0;
    assert.ok(bound(calibrated.steps) > bound(alone.calibrated.steps));
    const needed = ({ pairs }: typeof calibrated) => pairs.at(-1)?.samplesForHalfCost ?? 0;
    assert.ok(needed(calibrated) > 0 && Number.isFinite(needed(calibrated)));
  });

  it("takes the limit of a group's weight from the rows that do not certify", () => {
    const rows = grouped(data(8000), () => 2);
    const { splits } = prepareSplits(rows, "max_prob");
    // Half of the certify split becomes one group: that must not reach the limit.
    const certify = new Set(splits.certify);
    const groups = (rows.groups ?? new Int32Array()).map((group, row) =>
      certify.has(row) && row % 2 === 0 ? -1 : group,
    );
    assert.equal(prepareSplits({ ...rows, groups }, "max_prob").groups?.mostRows, 2);
  });

  it("makes one point of budgets that read alike", () => {
    const rows = data(2000);
    const { prepared, calibrated } = run(rows);
    const file = buildCascadeFile(rows, prepared, calibrated, { ...BUILD, ...OPTIONS, budgets: [0.5, 0.5, 0.5001] });
    assert.equal(file.operatingPoints.filter(({ name }) => name === "budget-50").length, 1);
    assert.deepEqual(parseCascadeFile(JSON.stringify(file), "cascade.json"), file);
  });

  it("draws no D1 where nothing is fitted", () => {
    const { prepared } = run(data(2000), { confidence: "max_prob" });
    assert.equal(prepared.splits.fit.length, 0);
    assert.deepEqual(prepared.splits.certify, run(data(2000), {}).prepared.splits.certify, "the same D3");
  });
});
