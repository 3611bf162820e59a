/** The report of `hybridserve plan`: what runs where and why, what it should do, and what keeps it from more. */
import type { PlanFile } from "../../proto/files/plan-file.ts";
import { decimals, NO_NUMBER, percent, significant, whole } from "./format.ts";
import { type Markup, markup } from "./markup.ts";
import { boxHtml, factsHtml, figureHtml, listHtml, pageHtml, type Section, tableHtml, tilesHtml } from "./page.ts";
import { ganttChart, latencyChart, MOST_GANTT_ROWS, shareBar } from "./plan-charts.ts";
import type { PlanReportData } from "./plan-data.ts";

/** Devices listed one by one; a larger fleet is summed up by class. */
const MOST_DEVICE_ROWS = 64;

/** One HTML file that needs nothing else. */
export function planReport(data: PlanReportData): string {
  const { plan } = data;
  return pageHtml({
    title: `Plan for ${plan.cascade?.name ?? plan.models.map((model) => model.name).join(", ")}`,
    lead: lead(data),
    sections: [
      levelsSection(plan),
      placementsSection(plan),
      devicesSection(data),
      ganttSection(data),
      latencySection(data),
      bindingSection(plan),
      gearsSection(plan),
      provenanceSection(plan),
    ].filter((section): section is Section => section !== null),
    footer: markup`hybridserve ${data.hybridserveVersion}, ${plan.createdAt}`,
  });
}

function lead({ plan, warnings, lastLevelOnly }: PlanReportData): Markup {
  const { prediction, workload, objective } = plan;
  const aim = objective === "throughput" ? "the highest rate" : "the fewest watts";
  const { percentile, latencyMs } = workload.slo;
  const last = plan.models.reduce((a, b) => (b.level > a.level ? b : a), plan.models[0] ?? { name: "", level: 0 });
  return markup`<p>Planned for ${aim} with ${percent(percentile, 0)} of the requests answered within ${significant(
    latencyMs,
  )} ms, at ${significant(workload.rate)} requests a second. All figures on this page are predictions from measured
service times; the server tells in its metrics what became of them.</p>${tilesHtml([
    { value: significant(prediction.throughput), name: "requests a second at most" },
    { value: `${significant(prediction.latencyMs.p99)} ms`, name: "99th percentile at the planned rate" },
    { value: percent(prediction.goodput, prediction.simulatedRequests), name: "answered in time" },
    {
      value: prediction.joulesPerRequest === null ? NO_NUMBER : `${significant(prediction.joulesPerRequest)} J`,
      name: prediction.joulesPerRequest === null ? "energy: no watts are known" : "a request",
    },
  ])}${
    lastLevelOnly === null
      ? null
      : markup`<p>The same devices serving <strong>${last.name}</strong> alone take ${significant(
          lastLevelOnly.throughput,
        )} requests a second on ${whole(lastLevelOnly.devices)} devices${
          lastLevelOnly.joulesPerRequest === null
            ? ""
            : `, at ${significant(lastLevelOnly.joulesPerRequest)} J a request`
        }.</p>`
  }${warnings.length === 0 ? null : boxHtml("warning", listHtml(warnings))}`;
}

function levelsSection(plan: PlanFile): Section {
  return {
    id: "models",
    title: "Models and stages",
    intro:
      "A model that does not fit a device, or runs better that way, is cut into stages that work on several batches behind each other.",
    body: tableHtml(
      [
        { title: "Stage", numeric: false },
        { title: "Rows that enter", numeric: true },
        { title: "Copies", numeric: true },
        { title: "Largest batch", numeric: true },
        { title: "Queue delay", numeric: true },
        { title: "Mean batch", numeric: true },
        { title: "Weights", numeric: true },
        { title: "Memory", numeric: true },
      ],
      plan.stages.map((stage) => {
        const model = plan.models.find((each) => each.name === stage.model);
        const copies = plan.placements.filter((placement) => placement.stage === stage.id).length;
        return [
          stage.id,
          percent(model?.reach ?? Number.NaN, 0),
          copies,
          model?.batch.max ?? NO_NUMBER,
          model === undefined || stage.index > 0 ? "" : `${significant(model.batch.maxQueueDelayUs / 1000)} ms`,
          decimals(stage.expected.meanBatch, 1),
          mebibytes(stage.weightBytes),
          mebibytes(stage.peakBytes),
        ];
      }),
    ),
  };
}

function placementsSection(plan: PlanFile): Section {
  const rows = plan.placements.slice(0, MOST_DEVICE_ROWS);
  const left = plan.placements.length - rows.length;
  return {
    id: "placements",
    title: "What runs where, and why",
    intro: "One line a copy. Its share is the part of the stage's rows that it is expected to take.",
    body: [
      tableHtml(
        [
          { title: "Device", numeric: false },
          { title: "Copy", numeric: false },
          { title: "Share", numeric: true },
          { title: "Why", numeric: false },
        ],
        rows.map(({ device, stage, replica, share }, i) => [
          device,
          `${stage}.${replica}`,
          percent(share, 0),
          plan.explanation.placements[i] ?? "",
        ]),
      ),
      left === 0 ? null : markup`<p class="quiet">${`and ${whole(left)} more: plan.json has them all`}</p>`,
    ],
  };
}

function devicesSection({ plan, deviceLoads }: PlanReportData): Section {
  const classOf = (name: string) => plan.classes.find((each) => each.name === name);
  const lines = plan.devices.map((device, i) => ({ device, load: deviceLoads[i], class: classOf(device.class) }));
  const shown = lines.slice(0, MOST_DEVICE_ROWS);
  return {
    id: "devices",
    title: "Devices",
    intro: "Memory as measured when the models were profiled; utilisation and watts as simulated at the planned rate.",
    body: [
      tableHtml(
        [
          { title: "Device", numeric: false },
          { title: "Memory", numeric: false },
          { title: "", numeric: true },
          { title: "Busy", numeric: false },
          { title: "", numeric: true },
          { title: "Watts", numeric: false },
          { title: "", numeric: true },
        ],
        shown.map(({ device, load, class: deviceClass }) => {
          const memory = (load?.usedBytes ?? Number.NaN) / (deviceClass?.memoryBytes ?? Number.NaN);
          const watts = load?.watts ?? null;
          return [
            `${device.id} (${device.class})`,
            shareBar(memory, "c2"),
            percent(memory, 0),
            shareBar(load?.utilisation ?? Number.NaN, "c0"),
            percent(load?.utilisation ?? Number.NaN, 0),
            watts === null ? NO_NUMBER : shareBar(watts / (deviceClass?.watts?.active ?? Number.NaN), "c1"),
            watts === null ? NO_NUMBER : significant(watts),
          ];
        }),
      ),
      lines.length === shown.length
        ? null
        : markup`<p class="quiet">${`and ${whole(lines.length - shown.length)} more devices`}</p>`,
    ],
  };
}

function ganttSection(data: PlanReportData): Section | null {
  if (data.runs.length === 0) return null;
  const left = data.plan.placements.length - MOST_GANTT_ROWS;
  return {
    id: "gantt",
    title: "Batches over time",
    intro:
      "A stretch of the simulation at the planned rate: every bar is a batch, its colour the level of the cascade.",
    body: figureHtml(
      ganttChart(data),
      left > 0
        ? `The first ${MOST_GANTT_ROWS} copies; ${whole(left)} more are not drawn.`
        : "Point at a bar for its size.",
    ),
  };
}

function latencySection({ plan, latency }: PlanReportData): Section {
  const { mean, p50, p95, p99 } = plan.prediction.latencyMs;
  return {
    id: "latency",
    title: "How long requests take",
    intro: `From arrival to answer inside the server, ${whole(plan.prediction.simulatedRequests)} simulated requests. The last bar holds all that took longer.`,
    body: [
      figureHtml(latencyChart(latency, plan.workload.slo.latencyMs), "Bars beyond the objective have its colour."),
      factsHtml([
        ["Mean", `${significant(mean)} ms`],
        ["p50", `${significant(p50)} ms`],
        ["p95", `${significant(p95)} ms`],
        ["p99", `${significant(p99)} ms`],
      ]),
    ],
  };
}

function bindingSection({ explanation }: PlanFile): Section {
  return {
    id: "binding",
    title: "What keeps the plan from more",
    intro: "The limits that it touches, and what one more device would bring.",
    body: [
      explanation.binding.length === 0 ? markup`<p>Nothing: no limit is touched.</p>` : listHtml(explanation.binding),
      explanation.oneMoreDevice.length === 0
        ? null
        : listHtml(explanation.oneMoreDevice.map(({ class: name, gain }) => `One more ${name}: ${gain}`)),
    ],
  };
}

function gearsSection({ gears, cascade }: PlanFile): Section | null {
  if (gears.length === 0 || cascade === null) return null;
  return {
    id: "gears",
    title: "Operating points by load",
    intro: `The cheapest operating point of ${cascade.name} that this placement serves within the objective, by arrival rate. The server changes between them while it runs.`,
    body: tableHtml(
      [
        { title: "Requests a second", numeric: false },
        { title: "Operating point", numeric: false },
        { title: "J a request", numeric: true },
      ],
      gears.map(({ fromRate, toRate, operatingPoint, joulesPerRequest }) => [
        `${significant(fromRate)} to ${significant(toRate)}`,
        operatingPoint,
        joulesPerRequest === null ? NO_NUMBER : significant(joulesPerRequest),
      ]),
    ),
  };
}

function provenanceSection({ provenance, prediction, workload }: PlanFile): Section {
  const { optimalityGap, isTimeLimited } = provenance;
  return {
    id: "provenance",
    title: "Where these figures come from",
    intro: "What is needed to make this plan again, and what makes it stale.",
    body: factsHtml([
      ["Command", markup`<code>${provenance.command}</code>`],
      ["Algorithm", `${provenance.algorithm}, seed ${provenance.seed}, ${significant(provenance.solverMs)} ms`],
      [
        "Distance to the best",
        `${optimalityGap === null ? "not known: found by rule" : `at most ${percent(optimalityGap, 0)}`}${
          isTimeLimited ? "; a time limit ended the search, so the same input may give another plan" : ""
        }`,
      ],
      ["Utilisation cap", percent(workload.utilisationCap, 0)],
      ["Shadow rows", percent(workload.shadowShare, 0)],
      ["Energy", prediction.energySource === "" ? "no watts are known" : prediction.energySource],
      ["Runtime", `onnxruntime ${provenance.onnxruntime}, node ${provenance.node}`],
      ["Profile", markup`<code>${provenance.profileHash}</code>`],
      ["Devices", markup`<code>${provenance.devicesHash}</code>`],
      ["Workload", markup`<code>${provenance.workloadHash}</code>`],
    ]),
  };
}

function mebibytes(bytes: number): string {
  return `${significant(bytes / 2 ** 20)} MiB`;
}
