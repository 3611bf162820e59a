/** A small calibration for tests of reports. */
import type { CalibrationReportData, ReportLevel, ReportPoint } from "../../../cli/report/calibration-data.ts";
import { confidenceQuality } from "../../../planner/confidence/quality.ts";

const quality = confidenceQuality(Float64Array.of(0.2, 0.6, 0.9, 0.97), Uint8Array.of(0, 1, 1, 1));

function level(model: string, cost: number, accuracy: number): ReportLevel {
  return {
    model,
    cost,
    costSource: "given",
    accuracy: { value: accuracy, interval: [accuracy - 0.01, accuracy + 0.01] },
    graphAccuracy: accuracy,
    confidence: {
      function: "temperature",
      params: "T = 1.31",
      beforeFunction: "max_prob",
      before: quality,
      after: quality,
    },
  };
}

const point: ReportPoint = {
  name: "AP",
  uncertifiedBecause: null,
  bound: 0.00471,
  accuracy: { value: 0.9338, interval: [0.93, 0.937] },
  lastLevelAccuracy: 0.9358,
  gap: 0.002,
  harm: 0.0083,
  disagreement: 0.0157,
  cost: 242,
  reach: [1, 0.3, 0.2],
  paths: [
    [0.6, 0.3, 0.1],
    [0, 2 / 3, 1 / 3],
    [0, 0, 1],
  ],
  gates: [
    { accept: 0.9, skip: [0.4], hopeless: null },
    { accept: 0.7, skip: [], hopeless: { below: 0.1, action: "accept" } },
  ],
  graphCost: 240,
  graphAccuracy: 0.934,
};

export const SAMPLE: CalibrationReportData = {
  cascade: "demo",
  command: "hybridserve calibrate demo --data held-out.npz",
  createdAt: "2026-01-02T03:04:05.000Z",
  hybridserveVersion: "0.4.0",
  dataset: {
    description: "held-out.npz",
    rows: 22_000,
    fitRows: 4_400,
    tuneRows: 6_600,
    certifyRows: 11_000,
    certifyGroups: null,
    tuneHash: "sha256:aa",
    certifyHash: "sha256:bb",
    certifyUses: 1,
  },
  costUnit: "CPU µs",
  metric: "gap",
  epsilon: 0.005,
  risk: 0.05,
  levels: [
    level("small", 18, 0.8867),
    level("middle", 210, 0.9214),
    { ...level("large", 1400, 0.9358), confidence: null },
  ],
  graph: [
    { cost: 18, accuracy: 0.88, certified: false },
    { cost: 240, accuracy: 0.934, certified: true },
  ],
  graphSplit: "tune",
  ablation: [{ name: "no skips", points: [{ cost: 19, accuracy: 0.879, certified: false }] }],
  points: [
    point,
    { ...point, name: "EO", uncertifiedBecause: "not among the steps that passed", bound: null },
    { ...point, name: "last-level-only", reach: [0, 0, 1], bound: 0 },
  ],
  defaultPoint: "AP",
  steps: [
    { harm: 0, cost: 1400, pValue: 0, passed: true },
    { harm: 0.0083, cost: 242, pValue: 0.012, passed: true },
    { harm: 0.02, cost: 200, pValue: 0.4, passed: false },
  ],
  classHarm: [
    { label: "shirt", rows: 1_071, harmed: 29, interval: [0.018, 0.039] },
    { label: "bag", rows: 1_077, harmed: 0, interval: [0, 0.0034] },
  ],
  harmPoint: "AP",
  harmExamples: [
    {
      row: 7,
      image: "data:image/png;base64,AAAA",
      values: "",
      label: "shirt",
      cascadeAnswer: "coat",
      confidence: 0.93,
      level: 0,
      lastLevelAnswer: "shirt",
    },
  ],
  feasibility: ["11000 rows can certify a gap of 0.05 points at best."],
  warnings: [],
};

/** The same with every name and text replaced. */
export function withTexts(text: string): CalibrationReportData {
  const replaced: unknown = JSON.parse(JSON.stringify(SAMPLE), (key, value: unknown) =>
    typeof value === "string" && !["metric", "graphSplit", "action"].includes(key) ? text : value,
  );
  return replaced as CalibrationReportData; // the sample's own shape, other strings
}

/** The same with every number but counts of rows and levels replaced. */
export function withNumbers(number: number): CalibrationReportData {
  const replace = (value: unknown): unknown => {
    if (typeof value === "number") return number;
    if (Array.isArray(value)) return value.map(replace);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, replace(inner)]));
  };
  return replace(SAMPLE) as CalibrationReportData; // the sample's own shape, other numbers
}

const TAG = /<(\/?)([a-z0-9]+)(?:\s+[a-zA-Z0-9-]+(?:="[^"<>]*")?)*\s*(\/?)>/g;

/** Throws where tags are not closed in order, as XML must and as everything but a few HTML tags should be. */
export function checkNesting(html: string): void {
  const open: string[] = [];
  const rest = html.replace(/<style>[\s\S]*?<\/style>/g, "").replace("<!DOCTYPE html>", "");
  for (const [tag, closing, name = "", selfClosed] of rest.matchAll(TAG)) {
    if (selfClosed === "/" || ["meta", "img", "br"].includes(name)) continue;
    if (closing === "") open.push(name);
    else if (open.pop() !== name) throw new Error(`${tag} closes another tag`);
  }
  if (open.length > 0) throw new Error(`not closed: ${open.join()}`);
  const odd = /.{0,40}[<>].{0,40}/.exec(rest.replace(TAG, ""));
  if (odd !== null) throw new Error(`not a tag: ${odd[0]}`);
}
