/** What a certificate promises, how it was tested, and whom the cascade harms: sections of the report. */
import type { CalibrationReportData, HarmExample } from "./calibration-data.ts";
import { decimals, interval, percent, pValue, significant, whole } from "./format.ts";
import { type Markup, markup } from "./markup.ts";
import { boxHtml, listHtml, type Section, tableHtml } from "./page.ts";
import { rangeBar } from "./range-bar.ts";

/** Rows of a long table that are shown; the rest is counted. */
const SHOWN_STEPS = 60;
const OPEN_STEPS = 12;
const OPEN = markup` open`;
const SHOWN_CLASSES = 60;

export function certificateSection(data: CalibrationReportData): Section {
  const { steps } = data;
  return {
    id: "certificate",
    title: "The certificate",
    intro: `Settings from cautious to bold, tested in this order on rows that chose nothing; the first that fails ends the test. A step passes where p is at most ${significant(data.risk)}.`,
    body: [promise(data), steps.length === 0 ? null : stepsHtml(data)],
  };
}

/** Folded where it is long: the figures to look at are at the end. */
function stepsHtml({ steps, dataset, costUnit }: CalibrationReportData): Markup {
  const passed = steps.filter((step) => step.passed).length;
  const summary = `${whole(passed)} of ${whole(steps.length)} tested steps passed`;
  const left = steps.length - SHOWN_STEPS;
  return markup`<details${steps.length <= OPEN_STEPS ? OPEN : null}><summary>${summary}</summary>${tableHtml(
    [
      { title: "Step", numeric: true },
      { title: "Harm", numeric: true },
      { title: `Cost, ${costUnit}`, numeric: true },
      { title: "p", numeric: true },
      { title: "Result", numeric: false },
    ],
    // The end says where the test stopped, so it is the beginning that is left out.
    steps
      .map((step, i) => [
        whole(i),
        percent(step.harm, dataset.certifyRows),
        significant(step.cost),
        pValue(step.pValue),
        step.passed ? markup`<span class="good">passed</span>` : markup`<span class="bad">failed</span>`,
      ])
      .slice(-SHOWN_STEPS),
  )}${left > 0 ? markup`<p class="intro">The ${whole(left)} steps before these all passed.</p>` : null}</details>`;
}

export function harmSection(data: CalibrationReportData): Section | null {
  const { classHarm, harmExamples, harmPoint, dataset, levels } = data;
  if (classHarm.length === 0 && harmExamples.length === 0) return null;
  const sorted = [...classHarm].sort((a, b) => b.harmed / Math.max(1, b.rows) - a.harmed / Math.max(1, a.rows));
  const shown = sorted.slice(0, SHOWN_CLASSES);
  const highest = Math.max(0, ...shown.map(({ interval: [, high] }) => high).filter(Number.isFinite));
  const last = levels.at(-1)?.model ?? "the last level";
  return {
    id: "harm",
    title: "Who is harmed",
    intro: `A small loss in all can be a large one in a single class, and the certificate is about all rows together. Here: point "${harmPoint}", certify split, 95 % Clopper-Pearson intervals, each class for itself.`,
    body: [
      classHarm.length === 0
        ? null
        : tableHtml(
            [
              { title: "Class", numeric: false },
              { title: "Rows", numeric: true },
              { title: "Harmed", numeric: true },
              { title: "Harm", numeric: true },
              { title: "95 % interval", numeric: true },
              { title: `0 to ${percent(highest, dataset.certifyRows)}`, numeric: false },
            ],
            shown.map(({ label, rows, harmed, interval: bounds }) => [
              label,
              whole(rows),
              whole(harmed),
              percent(harmed / Math.max(1, rows), rows),
              interval(bounds, rows),
              rangeBar(harmed / Math.max(1, rows), bounds, highest),
            ]),
          ),
      sorted.length > shown.length
        ? markup`<p class="intro">${whole(sorted.length - shown.length)} classes with less harm are not shown.</p>`
        : null,
      harmExamples.length === 0
        ? null
        : markup`<h3>Examples: ${last} right, the cascade wrong</h3><div class="gallery">${harmExamples.map((example) =>
            exampleHtml(example, levels[example.level]?.model ?? whole(example.level)),
          )}</div>`,
    ],
  };
}

function promise({ metric, epsilon, risk, levels, dataset }: CalibrationReportData): Markup {
  const last = levels.at(-1)?.model ?? "the last level";
  const margin = significant(epsilon * 100);
  const what =
    metric === "gap"
      ? `the share of right answers is at most ${margin} percentage points below that of ${last} alone`
      : `at most ${margin} % of the rows are answered wrong that ${last} alone would get right`;
  const groups = dataset.certifyGroups;
  const grouped =
    groups === null
      ? null
      : ` The samples of the test are the ${whole(groups.groups)} groups of these rows; a group weighs by its rows, by ${whole(groups.mostRows)} at most, so that the mean over rows is bounded, not that over groups.`;
  return boxHtml(
    "promise",
    markup`<strong>What the certificate promises</strong>
<p>For new rows that come from the same source as the ${whole(dataset.certifyRows)} certify rows, at every certified point: ${what}. The procedure that says so is wrong in at most ${significant(risk * 100)} % of calibrations. It is a statement about the mean over many rows, not about one row, one class or one customer.${grouped}</p>
<strong>What voids it</strong>${listHtml([
      "Rows that differ from the certify rows: another camera, season, customer or preprocessing. The drift watch looks for this; it cannot see everything.",
      "A changed model file, confidence, threshold, label map or order of levels: calibrate again.",
      "Certify rows that a model was trained or tuned on, or that were used again and again until something passed.",
      "Labels that are wrong, or rows that are near copies of each other and were not grouped (--group-by).",
      "Degraded answers: those given while a level failed are marked and not covered.",
    ])}`,
  );
}

function exampleHtml(example: HarmExample, level: string): Markup {
  const { row, image, values, label, cascadeAnswer, confidence, lastLevelAnswer } = example;
  // Only what cannot leave the page: a picture from elsewhere would tell who reads the report.
  const picture =
    image?.startsWith("data:image/png;base64,") === true
      ? markup`<img src="${image}" alt="input of row ${whole(row)}">`
      : values === ""
        ? null
        : markup`<p><code>${values}</code></p>`;
  return markup`<div class="example">${picture}<p>row ${whole(row)}: <strong>${label}</strong></p><p>${level}: <span class="bad">${cascadeAnswer}</span>, confidence ${decimals(confidence, 3)}</p><p>last level: <span class="good">${lastLevelAnswer}</span></p></div>`;
}
