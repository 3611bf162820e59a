/** What a calibration found, for the terminal: the levels and the operating points, in 100 columns. */
import type { CalibrationReportData, ReportPoint } from "../report/calibration-data.ts";
import { decimals, interval, NO_NUMBER, percent, points as pointsOf, significant } from "../report/format.ts";
import type { Styles } from "./styles.ts";
import { cellWidth, type TextColumn, textTable } from "./table.ts";

const WIDTH = 100;

const LEVEL_COLUMNS: readonly TextColumn[] = [
  { title: "", align: "right", shrinks: false },
  { title: "model", align: "left", shrinks: true },
  { title: "right", align: "right", shrinks: false },
  { title: "95 % interval", align: "right", shrinks: false },
  { title: "cost/row", align: "right", shrinks: false },
  { title: "of last", align: "right", shrinks: false },
  { title: "confidence", align: "left", shrinks: true },
  { title: "AUROC", align: "right", shrinks: false },
];

const POINT_COLUMNS: readonly TextColumn[] = [
  { title: "point", align: "left", shrinks: true },
  { title: "right", align: "right", shrinks: false },
  { title: "gap", align: "right", shrinks: false },
  { title: "harm", align: "right", shrinks: false },
  { title: "of last", align: "right", shrinks: false },
  { title: "reach of levels, %", align: "left", shrinks: true },
  { title: "certificate", align: "left", shrinks: true },
];

/** Ends with a line break. A star marks the default point. */
export function calibrationTables(data: CalibrationReportData, styles: Styles): string {
  const rows = data.dataset.certifyRows;
  const lastCost = data.levels.at(-1)?.cost ?? 0;
  const share = (cost: number) => (lastCost > 0 ? percent(cost / lastCost, 0) : NO_NUMBER);
  const levels = data.levels.map(({ model, accuracy, cost, confidence }, k) => [
    String(k),
    model,
    percent(accuracy.value, rows),
    interval(accuracy.interval, rows),
    significant(cost),
    share(cost),
    confidence?.function ?? "always answers",
    confidence === null ? NO_NUMBER : decimals(confidence.after.auroc, 3),
  ]);
  const points = data.points.map((point) => [
    `${point.name}${point.name === data.defaultPoint ? " *" : ""}`,
    percent(point.accuracy.value, rows),
    pointsOf(point.gap, rows),
    percent(point.harm, rows),
    share(point.cost),
    point.reach.map((part) => decimals(part * 100, 1)).join(" / "),
    certificateText(point, data),
  ]);
  const last = clipped(data.levels.at(-1)?.model ?? "the last level");
  return `${[
    styles.strong(`Levels (certify split, cost in ${clipped(data.costUnit)})`),
    ...textTable(LEVEL_COLUMNS, levels, WIDTH),
    "",
    styles.strong(`Operating points (certify split; gap in points and cost against ${last} alone; * default)`),
    // Coloured after the layout: colour codes have no width.
    ...textTable(POINT_COLUMNS, points, WIDTH).map((line, i) => coloured(line, data.points[i - 2], styles)),
  ].join("\n")}\n`;
}

function certificateText({ bound, uncertifiedBecause }: ReportPoint, { metric }: CalibrationReportData): string {
  if (uncertifiedBecause !== null) return `uncertified: ${uncertifiedBecause}`;
  return bound === null ? "certified" : `${metric} <= ${pointsOf(bound, 2_000).replace("+", "")} %`;
}

function coloured(line: string, point: ReportPoint | undefined, styles: Styles): string {
  if (point === undefined) return line;
  return (point.uncertifiedBecause === null ? styles.good : styles.bad)(line);
}

/** Names in headings. */
function clipped(text: string): string {
  const plain = text.replace(/[\p{Cc}\p{Cf}]/gu, "?");
  return cellWidth(plain) <= 24 ? plain : `${[...plain].slice(0, 23).join("")}…`;
}
