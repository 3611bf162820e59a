/** Sections of the report of a calibration. A section without anything to show is null. */
import type { Gate } from "../../proto/files/cascade-file.ts";
import { reliabilityDiagram, thresholdGraph, usesLevels } from "./calibration-charts.ts";
import type { CalibrationReportData, ReportConfidence, ReportPoint } from "./calibration-data.ts";
import { flowChart } from "./flow-chart.ts";
import { boundText, decimals, interval, NO_NUMBER, percent, points as pointsOf, significant, whole } from "./format.ts";
import { type Markup, type MarkupPart, markup } from "./markup.ts";
import { boxHtml, figureHtml, type Section, tableHtml } from "./page.ts";

export function levelsSection(data: CalibrationReportData): Section {
  const { levels, dataset, costUnit } = data;
  const rows = dataset.certifyRows;
  const lastCost = levels.at(-1)?.cost ?? 0;
  return {
    id: "levels",
    title: "The levels",
    intro: `Every model on its own, smallest first. Accuracy is measured on the ${whole(rows)} rows of the certify split, with a 95 % interval.`,
    body: [
      tableHtml(
        [
          { title: "Level", numeric: true },
          { title: "Model", numeric: false },
          { title: "Right answers", numeric: true },
          { title: "95 % interval", numeric: true },
          { title: `Cost per row, ${costUnit}`, numeric: true },
          { title: "Of the last", numeric: true },
          { title: "Confidence", numeric: false },
        ],
        levels.map(({ model, cost, accuracy, confidence }, k) => [
          whole(k),
          model,
          percent(accuracy.value, rows),
          interval(accuracy.interval, rows),
          significant(cost),
          lastCost > 0 ? percent(cost / lastCost, 0) : NO_NUMBER,
          confidence === null
            ? "always answers"
            : markup`${confidence.function}${confidence.params === "" ? null : markup`<br><span class="quiet">${confidence.params}</span>`}`,
        ]),
      ),
      markup`<p class="intro">Costs: ${[...new Set(levels.map(({ costSource }) => costSource))].join("; ")}.</p>`,
    ],
  };
}

export function pointsSection(data: CalibrationReportData): Section {
  const { points, dataset, levels } = data;
  const rows = dataset.certifyRows;
  const lastCost = levels.at(-1)?.cost ?? 0;
  return {
    id: "points",
    title: "Operating points",
    intro: `The settings to choose from, measured on the certify split. Gap: how much less is right than with ${levels.at(-1)?.model ?? "the last level"} alone. Harm: share of rows which that level gets right and the cascade wrong. Differs: share of rows answered otherwise than by that level.`,
    body: [
      tableHtml(
        [
          { title: "Point", numeric: false },
          { title: "Certificate", numeric: false },
          { title: "Right answers", numeric: true },
          { title: "95 % interval", numeric: true },
          { title: "Gap, points", numeric: true },
          { title: "Harm", numeric: true },
          { title: "Differs", numeric: true },
          { title: "Cost", numeric: true },
          { title: "Of the last", numeric: true },
        ],
        points.map((point) => [
          markup`<strong>${point.name}</strong>${point.name === data.defaultPoint ? " (default)" : ""}`,
          certificateCell(point, data),
          percent(point.accuracy.value, rows),
          interval(point.accuracy.interval, rows),
          pointsOf(point.gap, rows),
          percent(point.harm, rows),
          percent(point.disagreement, rows),
          significant(point.cost),
          lastCost > 0 ? percent(point.cost / lastCost, 0) : NO_NUMBER,
        ]),
      ),
      markup`<h3>Thresholds</h3>`,
      tableHtml(
        [
          { title: "Point", numeric: false },
          { title: "Level", numeric: false },
          { title: "Answer stands from a confidence of", numeric: true },
          { title: "Else", numeric: false },
        ],
        points.flatMap((point) =>
          point.gates.map((gate, k) => [
            k === 0 ? point.name : "",
            levels[k]?.model ?? whole(k),
            acceptText(gate),
            elseText(
              gate,
              k,
              levels.map(({ model }) => model),
            ),
          ]),
        ),
      ),
    ],
  };
}

export function graphSection(data: CalibrationReportData): Section | null {
  if (data.graph.length === 0) return null;
  return {
    id: "graph",
    title: "Threshold performance graph",
    intro: `What the search found on the ${data.graphSplit} split: for every cost, the most right answers. Left is cheaper, up is better.`,
    body: figureHtml(
      thresholdGraph(data),
      "Point at a mark for its figures. Certified: the point passed the test on the certify split. Dashed: the best that other ways to skip levels reach, searched on the same rows.",
    ),
  };
}

export function pathsSection({ points, levels, defaultPoint, dataset }: CalibrationReportData): Section | null {
  const shown = points.filter(usesLevels);
  // The default first: it is what most readers will run.
  shown.sort((a, b) => Number(b.name === defaultPoint) - Number(a.name === defaultPoint));
  if (shown.length === 0) return null;
  return {
    id: "paths",
    title: "Reach and paths",
    intro:
      "Where the rows go. A column is a level, as tall as the share of all rows that it sees; to its right leave the rows it answers, in its colour. Pale: rows on their way to a larger level, some past others.",
    body: shown.map(
      (point) =>
        markup`<h3>${point.name}</h3>${figureHtml(
          flowChart({
            description: `Paths of the rows at ${point.name}`,
            levels: levels.map(({ model }) => model),
            reach: point.reach,
            paths: point.paths,
            formatShare: (share) => percent(share, share < 0.01 ? dataset.certifyRows : 0),
          }),
          null,
        )}`,
    ),
  };
}

export function reliabilitySection({ levels, dataset }: CalibrationReportData): Section | null {
  const judged = levels.flatMap((level) =>
    level.confidence === null ? [] : [{ level, confidence: level.confidence }],
  );
  if (judged.length === 0) return null;
  return {
    id: "reliability",
    title: "Confidence: does it mean what it says?",
    intro: `Judged on the ${whole(dataset.tuneRows)} rows of the tune split. On the diagonal, of the answers with a confidence of 90 % just 90 % are right. The order of the rows (AUROC) decides what a cascade saves. Bars: share of rows with such a confidence.`,
    body: [
      markup`<div class="row">${judged.map(({ level, confidence }) =>
        figureHtml(reliabilityDiagram(level, confidence), markup`<strong>${level.model}</strong>`),
      )}</div>`,
      tableHtml(
        [
          { title: "Model", numeric: false },
          { title: "Confidence", numeric: false },
          { title: "AUROC (1 is best)", numeric: true },
          { title: "ECE (0 is best)", numeric: true },
          { title: "Brier (0)", numeric: true },
          { title: "NLL (0)", numeric: true },
        ],
        judged.flatMap(({ level, confidence }) =>
          [
            { name: `${confidence.beforeFunction}, before`, quality: isFitted(confidence) ? confidence.before : null },
            { name: confidence.function, quality: confidence.after },
          ].flatMap(({ name, quality }) =>
            quality === null
              ? []
              : [
                  [
                    level.model,
                    name,
                    decimals(quality.auroc, 4),
                    decimals(quality.ece, 4),
                    decimals(quality.brier, 4),
                    decimals(quality.nll, 4),
                  ],
                ],
          ),
        ),
      ),
      nonFinite(judged.map(({ level, confidence }) => [level.model, confidence.after.nonFiniteRows])),
    ],
  };
}

function certificateCell({ bound, uncertifiedBecause }: ReportPoint, data: CalibrationReportData): MarkupPart {
  if (uncertifiedBecause !== null) {
    return markup`<span class="bad">uncertified</span><br><span class="quiet">${uncertifiedBecause}</span>`;
  }
  if (bound === null) return markup`<span class="good">certified</span>`;
  return markup`<span class="good">${data.metric} ≤ ${boundText(data.metric, bound)}</span><br><span class="quiet">asked: ${significant(data.epsilon * 100)}</span>`;
}

function acceptText({ accept }: Gate): string {
  if (accept > 1) return "never stands";
  return accept <= 0 ? "always stands" : cut(accept);
}

/** Cuts of calibrated confidences crowd below 1, where three digits say nothing. */
function cut(threshold: number): string {
  return threshold > 0.99 && threshold < 1 ? threshold.toFixed(5) : decimals(threshold, 4);
}

/** The ways of rows whose answer does not stand, most confident first; `route` has the rule. */
function elseText({ accept, skip, hopeless }: Gate, level: number, models: readonly string[]): string {
  const name = (k: number) => models[k] ?? `level ${k}`;
  const bounds = [Math.min(1, accept), ...skip.map((threshold) => Math.min(1, threshold)), 0];
  const ways = bounds.slice(1).flatMap((low, i) => {
    const to = name(Math.min(level + 1 + i, models.length - 1));
    return low < (bounds[i] ?? 0) ? [low > 0 ? `from ${cut(low)} to ${to}` : `to ${to}`] : [];
  });
  if (hopeless !== null) {
    const band = hopeless.action === "accept" ? "stands, too hard for all" : `to ${name(models.length - 1)}`;
    ways.push(`below ${cut(hopeless.below)} ${band}`);
  }
  return ways.join(", else ") || NO_NUMBER;
}

/** Whether there is a before: an unfitted function is its own. */
function isFitted({ beforeFunction, function: name }: ReportConfidence): boolean {
  return beforeFunction !== name;
}

function nonFinite(counts: readonly (readonly [string, number])[]): Markup | null {
  const affected = counts.filter(([, rows]) => rows > 0);
  if (affected.length === 0) return null;
  return boxHtml(
    "warning",
    `Scores that are no numbers (their rows go on to a larger level): ${affected.map(([model, rows]) => `${model} ${whole(rows)} rows`).join(", ")}.`,
  );
}
