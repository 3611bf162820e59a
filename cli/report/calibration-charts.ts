/** Pictures of a calibration. */
import type {
  CalibrationReportData,
  ReportConfidence,
  ReportGraphPoint,
  ReportLevel,
  ReportPoint,
} from "./calibration-data.ts";
import { type ChartPoint, chart, type Series } from "./chart.ts";
import { decimals, percent, percentTick, significant, tick, whole } from "./format.ts";
import type { Markup } from "./markup.ts";

/** Cost against accuracy: the search's front, other ways to skip, each level alone, the operating points. */
export function thresholdGraph(data: CalibrationReportData): Markup {
  const rows = graphRows(data);
  const costs = data.levels.map(({ cost }) => cost).filter((cost) => cost > 0);
  const spread = Math.max(...costs) / Math.min(...costs);
  const point = (cost: number, accuracy: number, name: string): ChartPoint => ({
    x: cost,
    y: accuracy,
    title: `${name}${percent(accuracy, rows)} right at ${significant(cost)} ${data.costUnit}`,
  });
  const pointsOf = (points: readonly ReportGraphPoint[]) =>
    points.map(({ cost, accuracy }) => point(cost, accuracy, ""));
  const ablation = data.ablation.map(
    ({ name, points }, i): Series => ({
      name,
      kind: "line",
      color: i + 3,
      dashed: true,
      points: pointsOf(points),
    }),
  );
  const series: Series[] = [
    ...ablation,
    { name: "searched thresholds", kind: "line", color: 0, points: pointsOf(data.graph) },
    {
      name: "certified",
      kind: "scatter",
      color: 2,
      points: pointsOf(data.graph.filter(({ certified }) => certified)),
    },
    {
      name: "operating point",
      kind: "scatter",
      color: 1,
      mark: "star",
      points: data.points.filter(usesLevels).map(({ name, graphCost, graphAccuracy }) => ({
        ...point(graphCost, graphAccuracy, `${name}: `),
        label: name,
      })),
    },
    {
      name: "one level alone",
      kind: "scatter",
      color: "muted",
      mark: "diamond",
      points: data.levels.map(({ model, cost, graphAccuracy }) => ({
        ...point(cost, graphAccuracy, `${model} alone: `),
        label: model,
      })),
    },
  ];
  return chart({
    description: "Threshold performance graph: cost of a row against the share of right answers",
    width: 860,
    height: 460,
    x: {
      label: `cost per row, ${data.costUnit}${spread > 20 ? " (logarithmic)" : ""}`,
      scale: spread > 20 ? "log" : "linear",
      domain: null,
      format: tick,
    },
    y: { label: `right answers (${data.graphSplit} split)`, scale: "linear", domain: null, format: percentTick },
    series,
  });
}

/** How often answers of a confidence are right: on the diagonal, confidence means what it says. */
export function reliabilityDiagram(level: ReportLevel, confidence: ReportConfidence): Markup {
  const { before, after } = confidence;
  const all = after.bins.reduce((sum, { rows }) => sum + rows, 0);
  const filled = after.bins.filter(({ rows }) => rows > 0);
  const share = (rows: number) => rows / Math.max(1, all);
  const series: Series[] = [
    {
      name: "share of rows",
      kind: "bar",
      color: "muted",
      points: filled.map(({ lower, upper, rows }) => ({
        x: lower,
        xEnd: upper,
        y: share(rows),
        title: `${whole(rows)} rows (${percent(share(rows), all)}) have a confidence of ${decimals(lower, 2)} to ${decimals(upper, 2)}`,
      })),
    },
    {
      name: "",
      kind: "line",
      color: "muted",
      dashed: true,
      points: [0, 1].map((value) => ({ x: value, y: value, title: "" })),
    },
    {
      name: confidence.beforeFunction === confidence.function ? "" : confidence.beforeFunction,
      kind: "scatter",
      color: 1,
      mark: "ring",
      points: (confidence.beforeFunction === confidence.function ? [] : (before?.bins ?? []))
        .filter(({ rows }) => rows > 0)
        .map(binPoint),
    },
    { name: confidence.function, kind: "scatter", color: 0, points: filled.map(binPoint) },
  ];
  return chart({
    description: `Reliability diagram of ${level.model}: confidence against share of right answers`,
    width: 400,
    height: 320,
    x: { label: "confidence", scale: "linear", domain: [0, 1], format: tick },
    y: { label: "right answers", scale: "linear", domain: [0, 1], format: percentTick },
    series,
  });
}

/** Whether a point asks anything but the last level: else there is nothing to draw. */
export function usesLevels({ reach }: ReportPoint): boolean {
  return reach.slice(0, -1).some((share) => share > 0);
}

/** Rows of the split that the graph's figures are from. */
function graphRows({ dataset, graphSplit }: CalibrationReportData): number {
  return graphSplit === "tune" ? dataset.tuneRows : dataset.certifyRows;
}

function binPoint({ confidence, accuracy, rows }: ReportConfidence["after"]["bins"][number]): ChartPoint {
  return {
    x: confidence,
    y: accuracy,
    title: `confidence ${decimals(confidence, 3)}: ${percent(accuracy, rows)} of ${whole(rows)} rows right`,
  };
}
