/**
 * `node bench/ablation.ts`: what searched skips are worth, and what the harm metric costs, on recorded outputs of levels:
 * no serving, no clock. For each task, metric and margin the cheapest point that is certified with searched skips, with the
 * fixed uniform skips and with none. Everything but the skips is the same: splits, confidences, costs, certificate.
 * Prints markdown. Costs and drops are those of the certify split, which chose nothing.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { toScores } from "../cli/calibrate/level-scores.ts";
import { npzDataset } from "../cli/dataset/npz-data.ts";
import { type CalibrationData, calibrateCascade, prepareSplits } from "../planner/cascade/calibrate.ts";
import { type CertifiedMetric, certifyPath } from "../planner/cascade/certify.ts";
import { evaluateGates } from "../planner/cascade/evaluate.ts";
import type { SkipMode } from "../planner/cascade/evaluations.ts";
import type { GateOutcome, LevelOutcomes } from "../planner/cascade/outcomes.ts";
import { searchThresholds } from "../planner/cascade/search.ts";
import type { CascadeLevel } from "../proto/files/cascade-file.ts";
import { rowHashes } from "../proto/files/row-hash.ts";
import { DEMO_FOLDER } from "./repository.ts";

const RISK = 0.05;
const SEED = 1;
const MARGINS = [0.005, 0.01];
const METRICS: readonly CertifiedMetric[] = ["gap", "harm"];
const SKIPS: readonly SkipMode[] = ["searched", "uniform", "none"];

interface Task {
  readonly name: string;
  readonly file: string;
  readonly classes: number;
  readonly levels: readonly string[];
  /** Cost of one row at each level; only their ratios matter here. */
  readonly costs: readonly number[];
  readonly costSource: string;
}

const TASKS: readonly Task[] = [
  {
    name: "Fashion-MNIST, three levels",
    file: `${DEMO_FOLDER}recorded/levels.npz`,
    classes: 10,
    levels: ["fashion-xs", "fashion-m", "fashion-l"],
    costs: [8.65, 42.1, 495],
    costSource: "CPU µs a row, measured by the demo's calibration",
  },
  {
    name: "Letters, four levels",
    file: fileURLToPath(new URL("../examples/letter/recorded.npz", import.meta.url)),
    classes: 26,
    levels: ["letter-linear", "letter-mlp16", "letter-mlp128", "letter-mlp512"],
    costs: [442, 714, 5530, 284_698],
    costSource: "parameters, as many as multiply-adds in these models",
  },
];

for (const task of TASKS) printTask(task);

function printTask(task: Task): void {
  const data = readTask(task);
  const prepared = prepareSplits(data, "auto");
  const { tune, certify } = calibrateCascade(data, prepared, {
    confidence: "auto",
    metric: "gap",
    epsilon: 0.005,
    risk: RISK,
    hopeless: null,
    seed: SEED,
    heldOut: false,
  });
  console.log(`## ${task.name}\n`);
  console.log(`Costs: ${task.costs.join(", ")} (${task.costSource}).`);
  console.log(`Rows: ${prepared.splits.fit.length} fit, ${tune.rows} tune, ${certify.rows} certify; risk ${RISK}.\n`);
  console.log(
    "| certified | skips | gates searched | cost of the last level | drop (points) | harm | reach of the levels |",
  );
  console.log("|---|---|---|---|---|---|---|");
  const found = SKIPS.map((skips) => ({
    skips,
    ...searchThresholds(tune, { costs: task.costs, skips, hopeless: null, seed: SEED }),
  }));
  for (const metric of METRICS) {
    for (const epsilon of MARGINS) {
      for (const { skips, path, evaluated } of found) {
        const point = cheapestCertified(path, certify, task.costs, metric, epsilon);
        console.log(`| ${metric} ≤ ${percent(epsilon)} | ${skips} | ${evaluated} | ${describe(point, task.costs)} |`);
      }
    }
  }
  console.log("");
}

/** The last step that passes the fixed-sequence test; step 0, the last level alone, always does. */
function cheapestCertified(
  path: readonly GateOutcome[],
  certify: LevelOutcomes,
  costs: readonly number[],
  metric: CertifiedMetric,
  epsilon: number,
): GateOutcome {
  const gates = path.map((point) => point.gates);
  const best = certifyPath(gates, certify, { metric, epsilon, risk: RISK, groups: null }).findLast(
    ({ passed }) => passed,
  );
  if (best === undefined) throw new Error("the last level alone did not pass");
  return evaluateGates(certify, best.gates, costs);
}

function describe(point: GateOutcome, costs: readonly number[]): string {
  const share = point.cost / (costs.at(-1) ?? 1);
  const reach = point.reach.map((value) => (100 * value).toFixed(1)).join(" / ");
  return `${percent(share)} | ${(100 * point.gap).toFixed(2)} | ${percent(point.harm)} | ${reach} %`;
}

function readTask(task: Task): CalibrationData {
  const dataset = npzDataset(readFileSync(task.file), task.file, {
    inputs: [],
    scores: { name: "scores", datatype: "FP32", dims: [task.classes] },
    classes: task.classes,
    labelNames: null,
    scale: null,
    labelsFile: null,
    groupBy: null,
    levels: task.levels.length,
  });
  if (dataset.kind !== "recorded") throw new Error(`${task.file} holds no recorded outputs`);
  const confidence = { function: "max_prob", kind: "logits" as const, params: {}, outputs: { scores: "scores" } };
  return {
    levels: task.levels.map(
      (model): CascadeLevel => ({
        model,
        version: "1",
        inputs: {},
        outputs: {},
        labelMap: null,
        confidence,
        cost: null,
      }),
    ),
    scores: dataset.levels.map((tensor, k) => toScores(tensor, undefined, "logits", `${task.file}: level${k}`)),
    labels: dataset.labels,
    costs: task.costs.map((value) => ({ value, unit: "relative", source: task.costSource })),
    rowHashes: rowHashes(dataset.levels),
    groups: null,
  };
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
