/** What a calibration found, for the terminal: the levels and the operating points, in 100 columns. */
import type { CalibrationReportData, ReportPoint } from "../report/calibration-data.ts";
import {
  boundText,
  decimals,
  interval,
  NO_NUMBER,
  percent,
  points as pointsOf,
  significant,
} from "../report/format.ts";
import type { Styles } from "./styles.ts";
import { clip, plainText, type TextColumn, textTable, wrapped } from "./table.ts";

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
    point.reach.map(reachText).join(" / "),
    certificateText(point, data),
  ]);
  const last = clip(plainText(data.levels.at(-1)?.model ?? "the last level"), 24);
  return `${[
    styles.strong(`Levels (certify split, cost in ${clip(plainText(data.costUnit), 30)})`),
    ...textTable(LEVEL_COLUMNS, levels, WIDTH),
    "",
    styles.strong(`Operating points (certify split; gap in points, against ${last} alone; * default)`),
    // Coloured after the layout: colour codes have no width.
    ...textTable(POINT_COLUMNS, points, WIDTH).map((line, i) => coloured(line, data.points[i - 2], styles)),
    ...reasons(data.points),
  ].join("\n")}\n`;
}

/** One decimal only where it says something. */
function reachText(share: number): string {
  if (share === 0) return "0";
  return decimals(share * 100, share < 0.1 ? 1 : 0);
}

/** Why points are uncertified, each reason once, in lines of the table's width. */
function reasons(points: readonly ReportPoint[]): string[] {
  const names = new Map<string, string[]>();
  for (const { name, uncertifiedBecause } of points) {
    if (uncertifiedBecause === null) continue;
    names.set(uncertifiedBecause, [...(names.get(uncertifiedBecause) ?? []), name]);
  }
  return [...names].flatMap(([reason, of]) => wrapped(`uncertified ${of.join(", ")}: ${reason}`, WIDTH));
}

function certificateText({ bound, uncertifiedBecause }: ReportPoint, { metric }: CalibrationReportData): string {
  if (uncertifiedBecause !== null) return "uncertified";
  return bound === null ? "certified" : `${metric} <= ${boundText(metric, bound)}`;
}

function coloured(line: string, point: ReportPoint | undefined, styles: Styles): string {
  if (point === undefined) return line;
  return (point.uncertifiedBecause === null ? styles.good : styles.bad)(line);
}
