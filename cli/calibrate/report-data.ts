/** From a calibration to what its report shows. */
import type { CalibratedCascade, CalibrationData, PreparedSplits } from "../../planner/cascade/calibrate.ts";
import type { CertifiedStep } from "../../planner/cascade/certify.ts";
import { evaluateGates } from "../../planner/cascade/evaluate.ts";
import type { GateOutcome, LevelOutcomes } from "../../planner/cascade/outcomes.ts";
import { rowLosses } from "../../planner/cascade/row-losses.ts";
import { groupSizes } from "../../planner/cascade/test-units.ts";
import type { CascadeFile, ConfidenceFunction, OperatingPoint } from "../../proto/files/cascade-file.ts";
import { canonicalJson } from "../../proto/files/policy-hash.ts";
import { gatherRows } from "../../proto/tensor.ts";
import { readFloats } from "../../scheduler/confidence/floats.ts";
import { packageVersion } from "../package-version.ts";
import type {
  CalibrationReportData,
  HarmExample,
  ReportGraphPoint,
  ReportLevel,
  ReportPoint,
} from "../report/calibration-data.ts";
import { channelsLast, pngDataUri } from "../report/png.ts";
import type { CollectedData } from "./collect-data.ts";
import type { CalibrateOptions } from "./options.ts";

const MOST_EXAMPLES = 12;
/** Values of an input that is no picture, shown of a row. */
const SHOWN_VALUES = 8;

export interface Reported {
  readonly options: CalibrateOptions;
  readonly collected: CollectedData;
  readonly prepared: PreparedSplits;
  readonly calibrated: CalibratedCascade;
  readonly file: CascadeFile;
  readonly certifyUses: number;
  /** Sentences for the reader. */
  readonly feasibility: readonly string[];
  readonly warnings: readonly string[];
}

export function reportData(reported: Reported): CalibrationReportData {
  const { options, collected, prepared, calibrated, file } = reported;
  const { splits, groups, tuneHash, certifyHash } = prepared;
  const { data } = collected;
  const costs = data.costs.map((cost) => cost.value);
  const best = calibrated.steps.findLast((step) => step.passed);
  return {
    cascade: options.model,
    command: file.calibration?.command ?? "",
    createdAt: file.calibration?.createdAt ?? "",
    hybridserveVersion: packageVersion(),
    dataset: {
      description: options.data,
      rows: data.rowHashes.length,
      fitRows: splits.fit.length,
      tuneRows: splits.tune.length,
      certifyRows: splits.certify.length,
      certifyGroups: groups === null ? null : { groups: groupSizes(groups.of).length, mostRows: groups.mostRows },
      tuneHash,
      certifyHash,
      certifyUses: reported.certifyUses,
    },
    costUnit: data.costs.at(-1)?.unit ?? "",
    metric: options.metric,
    epsilon: options.maxDrop,
    risk: options.risk,
    levels: data.levels.map((_, k) => reportLevel(k, data, calibrated, file)),
    graph: calibrated.graph.map((point) => graphPoint(point, calibrated.steps)),
    graphSplit: "tune",
    ablation: calibrated.ablation.map(({ skips, graph }) => ({
      name: skips === "uniform" ? "uniform skips" : "no skips",
      points: graph.map((point) => graphPoint(point, [])),
    })),
    points: file.operatingPoints.flatMap((point) => reportPoint(point, calibrated.tune, costs)),
    defaultPoint: file.default,
    steps: calibrated.steps.map((step) => ({
      harm: step.losses / Math.max(1, step.rows),
      cost: evaluateGates(calibrated.certify, step.gates, costs).cost,
      pValue: step.pValue,
      passed: step.passed,
    })),
    classHarm: calibrated.harm.map(({ label, rows, losses, interval }) => ({
      label: collected.labelNames?.[label] ?? String(label),
      rows,
      harmed: losses,
      interval,
    })),
    harmPoint: file.default,
    harmExamples: best === undefined ? [] : harmExamples(best, reported),
    feasibility: reported.feasibility,
    warnings: reported.warnings,
  };
}

function reportLevel(k: number, data: CalibrationData, calibrated: CalibratedCascade, file: CascadeFile): ReportLevel {
  const judged = calibrated.judged[k];
  const accuracy = calibrated.levelAccuracy[k];
  const tuneRight = calibrated.tune.correct[k]?.reduce((sum, value) => sum + value, 0) ?? 0;
  const isLast = k === data.levels.length - 1;
  return {
    model: data.levels[k]?.model ?? "",
    cost: data.costs[k]?.value ?? 0,
    costSource: data.costs[k]?.source ?? "",
    accuracy: { value: accuracy?.accuracy ?? 0, interval: accuracy?.interval ?? null },
    graphAccuracy: tuneRight / Math.max(1, calibrated.tune.rows),
    confidence:
      isLast || judged === undefined
        ? null
        : {
            function: judged.fitted.function,
            params: paramsText(file.levels[k]?.confidence?.params ?? {}),
            beforeFunction: data.scores[k]?.tokens === 1 ? "max_prob" : "min_token",
            before: judged.before,
            after: judged.after,
          },
  };
}

/** Single numbers as they are, lists by their length: a report is no place for fifty weights. */
function paramsText(params: ConfidenceFunction["params"]): string {
  return Object.entries(params)
    .map(([name, value]) => {
      return `${name} = ${typeof value === "number" ? Number(value.toPrecision(4)) : `${value.length} values`}`;
    })
    .join(", ");
}

function graphPoint({ gates, cost, accuracy }: GateOutcome, steps: readonly CertifiedStep[]): ReportGraphPoint {
  const key = canonicalJson(gates);
  return {
    cost,
    accuracy,
    certified: steps.some((step) => step.passed && canonicalJson(step.gates) === key),
  };
}

function reportPoint(point: OperatingPoint, tune: LevelOutcomes, costs: readonly number[]): ReportPoint[] {
  const { name, gates, expected, certificate } = point;
  if (expected === null) return [];
  const onGraph = evaluateGates(tune, gates, costs);
  return [
    {
      name,
      uncertifiedBecause: certificate === null ? "it is no step of the path that passed the test" : null,
      bound: certificate?.bound ?? null,
      accuracy: { value: expected.accuracy, interval: expected.accuracyInterval },
      lastLevelAccuracy: expected.lastLevelAccuracy,
      gap: expected.gap,
      harm: expected.harm,
      disagreement: expected.disagreement,
      cost: expected.cost.value,
      reach: expected.reach,
      paths: expected.paths,
      gates,
      graphCost: onGraph.cost,
      graphAccuracy: onGraph.accuracy,
    },
  ];
}

/** Rows of the certify split that only the last level gets right, the surest of them first. */
function harmExamples(step: CertifiedStep, { collected, prepared, calibrated }: Reported): HarmExample[] {
  const { certify } = calibrated;
  const { levels, gap } = rowLosses(certify, step.gates);
  const confidenceAt = (i: number) => certify.confidences[levels[i] ?? 0]?.[i] ?? Number.NaN;
  const harmed = Array.from(gap, (_, i) => i).filter((i) => (gap[i] ?? 0) > 0);
  harmed.sort((a, b) => confidenceAt(b) - confidenceAt(a) || a - b);
  const isClass = collected.data.labels.tokens === 1;
  const name = (answer: number) => (isClass ? (collected.labelNames?.[answer] ?? String(answer)) : "a sequence");
  const last = certify.answers.length - 1;
  return harmed.slice(0, MOST_EXAMPLES).map((i) => {
    const row = prepared.splits.certify[i] ?? 0;
    return {
      row,
      image: imageOf(collected, row),
      values: valuesOf(collected, row),
      label: name(collected.data.labels.values[row] ?? 0),
      cascadeAnswer: name(certify.answers[levels[i] ?? 0]?.[i] ?? 0),
      confidence: confidenceAt(i),
      level: levels[i] ?? 0,
      lastLevelAnswer: name(certify.answers[last]?.[i] ?? 0),
    };
  });
}

/** The row as a picture: its pixels where the data set has any, else an input that is shaped like one. */
function imageOf(collected: CollectedData, row: number): string | null {
  const images = collected.ran?.images ?? null;
  if (images !== null) {
    const { channels, height, width, pixels } = images;
    const size = channels * height * width;
    return picture(pixels.subarray(row * size, (row + 1) * size), channels, height, width);
  }
  const input = collected.ran?.inputs.find(({ datatype, shape }) => datatype === "FP32" && isPicture(shape));
  if (input === undefined) return null;
  const [, channels = 1, height = 0, width = 0] = input.shape;
  const values = readFloats({ ...input, data: gatherRows(input, [row]).data });
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const scale = most > least ? 255 / (most - least) : 0;
  return picture(
    Uint8Array.from(values, (value) => (value - least) * scale),
    channels,
    height,
    width,
  );
}

function picture(pixels: Uint8Array, channels: number, height: number, width: number): string {
  return pngDataUri(channelsLast(pixels, channels, height * width), [height, width, channels]);
}

/** [rows, 1 or 3, height, width] of a size that fits a page. */
function isPicture([, channels, height = 0, width = 0, ...more]: readonly number[]): boolean {
  const sides = [height, width];
  return more.length === 0 && (channels === 1 || channels === 3) && sides.every((side) => side >= 8 && side <= 512);
}

/** The first values of the row's first input. */
function valuesOf(collected: CollectedData, row: number): string {
  const input = collected.ran?.inputs[0];
  if (input === undefined || input.datatype === "BYTES") return "";
  const { data } = gatherRows(input, [row]);
  const { datatype } = input;
  if (datatype !== "FP32" && datatype !== "FP64" && datatype !== "FP16") return "";
  const values = readFloats({ ...input, data });
  const shown = Array.from(values.subarray(0, SHOWN_VALUES), (value) => Number(value.toPrecision(3)));
  return `${shown.join(", ")}${values.length > SHOWN_VALUES ? ", ..." : ""}`;
}
