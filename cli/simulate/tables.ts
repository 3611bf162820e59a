/** Simulations for the terminal: latency and energy side by side, then levels and devices of the plan, in 100 columns. */
import type { Fleet } from "../../planner/fleet.ts";
import { holds } from "../../planner/plan/capacity.ts";
import type { PlanWorkload } from "../../planner/plan/workload.ts";
import type { SimulationResult } from "../../planner/simulate/simulation.ts";
import { decimals, NO_NUMBER, percent, significant } from "../report/format.ts";
import { type TextColumn, textTable } from "../terminal/table.ts";

export interface Variant {
  readonly name: string;
  readonly result: SimulationResult;
  /** Highest rate within the objective, requests a second; undefined: none. */
  readonly mostRate: number | undefined;
}

const WIDTH = 100;
/** Devices listed one by one, the busiest first. */
const MOST_DEVICES = 16;

function columns(first: string, others: readonly string[]): TextColumn[] {
  const numbers = others.map((title): TextColumn => ({ title, align: "right", shrinks: false }));
  return [{ title: first, align: "left", shrinks: true }, ...numbers];
}

const VARIANTS = columns("", ["requests/s", "in time", "mean", "p50", "p95", "p99 ms", "W", "J/request", "most/s"]);
const LEVELS = columns("level", ["rows/s", "answers", "batch", "busy", "waits mean", "p99 ms"]);
const DEVICES = columns("device", ["class", "copies", "busy"]);

/** Ends with a line break. */
export function simulationTables(workload: PlanWorkload, fleet: Fleet, variants: readonly Variant[]): string {
  const first = variants[0]?.result;
  if (first === undefined) return "";
  const { slo } = workload;
  const lines = [
    `${significant(workload.rate)} requests/s (${arrivalText(workload)}) of ${rowText(workload.rowsPerRequest)}, ` +
      `${percent(slo.percentile, 0)} to be answered within ${significant(slo.latencyMs)} ms`,
    "",
    ...textTable(VARIANTS, variants.map(variantCells), WIDTH),
    "",
    ...textTable(LEVELS, first.levels.map(levelCells), WIDTH),
    "",
    ...deviceLines(fleet, first),
    "",
    ...(first.energy === null
      ? ["energy: not predicted, the plan's classes have no watts"]
      : [`energy: ${first.energy.source}`]),
    ...shadowLines(first),
    objectiveLine(workload, first),
    "most/s: the highest rate at which the objective holds; – none",
    `${first.measuredRequests.toLocaleString("en")} requests measured, seed ${first.seed}`,
  ];
  return `${lines.join("\n")}\n`;
}

function arrivalText({ arrivals }: PlanWorkload): string {
  switch (arrivals.process) {
    case "poisson":
      return "Poisson";
    case "gamma":
      return `Gamma, cv ${arrivals.cv}`;
    case "trace":
      return `trace ${arrivals.file}`;
  }
}

function rowText(rows: number): string {
  return rows === 1 ? "1 row" : `${rows} rows`;
}

function variantCells({ name, result, mostRate }: Variant): string[] {
  const { mean, p50, p95, p99 } = result.latencyMs;
  // Where more arrives than is answered, latency tells only how long the simulation was.
  const hasEnd = result.throughput >= 0.97 * result.offeredRate;
  return [
    name,
    significant(result.throughput),
    percent(result.goodput, result.measuredRequests),
    ...[mean, p50, p95, p99].map((latencyMs) => (hasEnd ? significant(latencyMs) : "grows")),
    significant(result.energy?.watts ?? Number.NaN),
    significant(result.energy?.joulesPerRequest ?? Number.NaN),
    mostRate === undefined ? NO_NUMBER : significant(mostRate),
  ];
}

function levelCells(level: SimulationResult["levels"][number]): string[] {
  return [
    level.model,
    significant(level.rowsPerSecond),
    percent(level.answeredShare, 0),
    decimals(level.meanBatch, 2),
    percent(level.utilisation, 0),
    significant(level.queueMs.mean),
    significant(level.queueMs.p99),
  ];
}

function deviceLines({ devices, replicas }: Fleet, { deviceUtilisation }: SimulationResult): string[] {
  const copies = new Map<number, number>();
  for (const { device } of replicas) copies.set(device, (copies.get(device) ?? 0) + 1);
  const byLoad = [...copies].sort(([a], [b]) => (deviceUtilisation[b] ?? 0) - (deviceUtilisation[a] ?? 0) || a - b);
  const rows = byLoad.slice(0, MOST_DEVICES).map(([device, count]) => {
    const { id = "", class: className = "" } = devices[device] ?? {};
    return [id, className, String(count), percent(deviceUtilisation[device] ?? Number.NaN, 0)];
  });
  const left = byLoad.length - rows.length;
  return [...textTable(DEVICES, rows, WIDTH), ...(left > 0 ? [`and ${left} less busy ones`] : [])];
}

function objectiveLine({ slo, rate }: PlanWorkload, result: SimulationResult): string {
  if (holds(result, slo, rate)) return "The objective holds.";
  return result.goodput >= slo.percentile
    ? "The objective does not hold: more requests arrive than are answered."
    : "The objective does not hold: too few requests are answered in time.";
}

function shadowLines({ shadows }: SimulationResult): string[] {
  const { rows, droppedRows } = shadows;
  if (rows + droppedRows === 0) return [];
  const dropped = droppedRows === 0 ? "" : `, ${droppedRows.toLocaleString("en")} found no room`;
  return [`shadows: ${rows.toLocaleString("en")} rows asked again${dropped}`];
}
