/** A plan for the terminal: what runs where, and what it should do, in 100 columns. */
import { decimals, NO_NUMBER, percent, significant } from "../report/format.ts";
import type { PlanReportData } from "../report/plan-data.ts";
import type { Styles } from "./styles.ts";
import { type TextColumn, textTable } from "./table.ts";

const WIDTH = 100;
/** Copies listed one by one. */
const MOST_ROWS = 24;

const STAGE_COLUMNS: readonly TextColumn[] = [
  { title: "stage", align: "left", shrinks: true },
  { title: "rows", align: "right", shrinks: false },
  { title: "copies", align: "right", shrinks: false },
  { title: "devices", align: "left", shrinks: true },
  { title: "batch", align: "right", shrinks: false },
  { title: "mean", align: "right", shrinks: false },
  { title: "delay", align: "right", shrinks: false },
  { title: "busy", align: "right", shrinks: false },
  { title: "MiB", align: "right", shrinks: false },
];

/** Ends with a line break. */
export function planTables({ plan, lastLevelOnly, warnings }: PlanReportData, styles: Styles): string {
  const rows = plan.stages.slice(0, MOST_ROWS).map((stage) => {
    const model = plan.models.find((each) => each.name === stage.model);
    const own = plan.placements.filter((placement) => placement.stage === stage.id);
    return [
      stage.id,
      percent(model?.reach ?? Number.NaN, 0),
      String(own.length),
      own.map((placement) => placement.device).join(" "),
      String(model?.batch.max ?? NO_NUMBER),
      decimals(stage.expected.meanBatch, 1),
      stage.index > 0 || model === undefined ? "" : `${significant(model.batch.maxQueueDelayUs / 1000)} ms`,
      percent(stage.expected.utilisation, 0),
      significant(stage.peakBytes / 2 ** 20),
    ];
  });
  const { prediction, workload, provenance, explanation } = plan;
  const { p50, p95, p99 } = prediction.latencyMs;
  const gap =
    provenance.optimalityGap === null ? "no bound known" : `within ${percent(provenance.optimalityGap, 0)} of the best`;
  const lines = [
    ...textTable(STAGE_COLUMNS, rows, WIDTH),
    "",
    `${styles.strong(`${significant(prediction.throughput)} requests/s`)} at most within ${significant(workload.slo.latencyMs)} ms ` +
      `for ${percent(workload.slo.percentile, 0)} of the requests (${provenance.algorithm}, ${gap})`,
    `at ${significant(Math.min(workload.rate, prediction.throughput))} requests/s: p50 ${significant(p50)}, p95 ${significant(p95)}, p99 ` +
      `${significant(p99)} ms; ${percent(prediction.goodput, prediction.simulatedRequests)} in time`,
    prediction.joulesPerRequest === null
      ? "energy: not predicted, devices.json has no watts"
      : `energy: ${significant(prediction.watts ?? Number.NaN)} W, ${significant(prediction.joulesPerRequest)} J a request (${prediction.energySource})`,
    ...(lastLevelOnly === null
      ? []
      : [
          `the last level alone on the same devices: ${significant(lastLevelOnly.throughput)} requests/s` +
            `${lastLevelOnly.joulesPerRequest === null ? "" : `, ${significant(lastLevelOnly.joulesPerRequest)} J a request`}`,
        ]),
    ...explanation.binding.map((text) => `binds: ${text}`),
    ...explanation.oneMoreDevice.map(({ class: name, gain }) => `one more ${name}: ${gain}`),
    ...plan.gears.map(
      (gear) => `gear: ${significant(gear.fromRate)} to ${significant(gear.toRate)} requests/s: ${gear.operatingPoint}`,
    ),
    ...warnings.map((text) => `warning: ${text}`),
  ];
  return `${lines.join("\n")}\n`;
}
