/** The report of `hybridserve calibrate`, in the order in which somebody new to cascades would ask. */

import { certificateSection, harmSection } from "./calibration-certificate.ts";
import type { CalibrationReportData, ReportPoint } from "./calibration-data.ts";
import {
  graphSection,
  levelsSection,
  pathsSection,
  pointsSection,
  reliabilitySection,
} from "./calibration-sections.ts";
import { boundText, decimals, percent, points, significant, whole } from "./format.ts";
import { type Markup, markup } from "./markup.ts";
import { boxHtml, factsHtml, listHtml, pageHtml, type Section, tilesHtml } from "./page.ts";

/** One HTML file that needs nothing else. */
export function calibrationReport(data: CalibrationReportData): string {
  return pageHtml({
    title: `Calibration of ${data.cascade}`,
    lead: lead(data),
    sections: [
      levelsSection(data),
      pointsSection(data),
      graphSection(data),
      pathsSection(data),
      certificateSection(data),
      harmSection(data),
      reliabilitySection(data),
      provenanceSection(data),
    ].filter((section): section is Section => section !== null),
    footer: markup`hybridserve ${data.hybridserveVersion}, ${data.createdAt}`,
  });
}

function lead(data: CalibrationReportData): Markup {
  const { warnings, dataset } = data;
  const last = data.levels.at(-1)?.model ?? "the last level";
  const served = data.points.find(({ name }) => name === data.defaultPoint);
  return markup`<p>A cascade asks its smallest model first and a larger one only where the answer is not sure enough.
This calibration measured on labelled rows how sure is sure enough, and compares every answer with that of the last
level, <strong>${last}</strong>.</p>${served === undefined ? null : headline(data, served, last)}${
    warnings.length === 0 ? null : boxHtml("warning", markup`<strong>Warnings</strong>${listHtml(warnings)}`)
  }${
    dataset.certifyUses > 1
      ? boxHtml(
          "warning",
          `These certify rows were used ${whole(dataset.certifyUses)} times for this cascade. A promise that was looked for repeatedly is weaker than its risk says; certify on new rows where it matters.`,
        )
      : null
  }`;
}

function headline(data: CalibrationReportData, point: ReportPoint, last: string): Markup {
  const rows = data.dataset.certifyRows;
  const lastCost = data.levels.at(-1)?.cost ?? 0;
  const cheaper = lastCost > 0 && point.cost > 0 ? lastCost / point.cost : Number.NaN;
  return markup`${tilesHtml([
    { value: percent(point.accuracy.value, rows), name: `right answers at "${point.name}", the default` },
    { value: points(-point.gap, rows), name: `percentage points against ${last}` },
    {
      value: lastCost > 0 ? percent(point.cost / lastCost, 0) : "–",
      name: `of ${last}'s cost${Number.isFinite(cheaper) ? ` (${decimals(cheaper, 1)} times cheaper)` : ""}`,
    },
    {
      value: point.bound === null ? "no" : `${data.metric} ≤ ${boundText(data.metric, point.bound)}`,
      name: point.bound === null ? "certificate" : `certified, at ${confidenceLevel(data)} confidence`,
    },
  ])}`;
}

function confidenceLevel({ risk }: CalibrationReportData): string {
  return `${significant((1 - risk) * 100)} %`;
}

function provenanceSection(data: CalibrationReportData): Section {
  const { dataset, feasibility } = data;
  const groups = dataset.certifyGroups === null ? null : ` in ${whole(dataset.certifyGroups.groups)} groups`;
  return {
    id: "data",
    title: "Where these figures come from",
    intro: "What is needed to make this calibration again and to see whether a certificate is for these rows.",
    body: [
      factsHtml([
        ["Command", markup`<code>${data.command}</code>`],
        ["Made", `${data.createdAt} by hybridserve ${data.hybridserveVersion}`],
        ["Data", dataset.description],
        ["Rows", whole(dataset.rows)],
        ["Fit split", `${whole(dataset.fitRows)} rows: confidences are fitted on these`],
        [
          "Tune split",
          markup`${whole(dataset.tuneRows)} rows: thresholds are chosen on these; hash <code>${dataset.tuneHash}</code>`,
        ],
        [
          "Certify split",
          markup`${whole(dataset.certifyRows)} rows${groups}: used for nothing but the certificate; hash <code>${dataset.certifyHash}</code>`,
        ],
        ["Uses of the certify split", whole(dataset.certifyUses)],
      ]),
      feasibility.length === 0 ? null : markup`<h3>What this many rows can certify</h3>${listHtml(feasibility)}`,
    ],
  };
}
