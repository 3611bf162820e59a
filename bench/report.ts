/** From single measurements to medians over rounds, and from those to a table. */
import type { Environment } from "./environment.ts";
import { median } from "./statistics.ts";

/** One measured window as it is stored. CPU times are µs per request. */
export interface Sample {
  readonly subject: string;
  readonly round: number;
  readonly workload: string;
  readonly concurrency: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly serverCpuUs: number | undefined;
  readonly clientCpuUs: number;
  readonly rssMb: number | undefined;
  /** Bare onnxruntime for the same rows at the batch sizes served; 0 where nothing is computed. */
  readonly computeUs: number;
  /** Mean rows of an execution, by model. */
  readonly batchSizes: Readonly<Record<string, number>>;
  readonly otherCores: number | undefined;
  readonly stealCores: number | undefined;
}

/** The medians of one subject at one point. */
export type Point = Omit<Sample, "round" | "batchSizes" | "otherCores" | "stealCores">;

/** What is stored in bench/results/. */
export interface BenchReport {
  readonly formatVersion: 1;
  readonly environment: Environment;
  readonly connections: number;
  readonly measureMs: number;
  readonly rounds: number;
  readonly points: readonly Point[];
  readonly samples: readonly Sample[];
}

/** Medians over the rounds, one point per workload, concurrency and subject, in the order measured. */
export function summarise(samples: readonly Sample[]): Point[] {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const key = `${sample.workload} ${sample.concurrency} ${sample.subject}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [sample]);
    else group.push(sample);
  }
  return [...groups.values()].flatMap((group) => {
    const first = group[0];
    if (first === undefined) return [];
    const middle = (pick: (sample: Sample) => number) => median(group.map(pick));
    const optional = (pick: (sample: Sample) => number | undefined) => {
      const values = group.map(pick).filter((value) => value !== undefined);
      return values.length === 0 ? undefined : median(values);
    };
    return [
      {
        subject: first.subject,
        workload: first.workload,
        concurrency: first.concurrency,
        requestsPerSecond: middle((sample) => sample.requestsPerSecond),
        p50Ms: middle((sample) => sample.p50Ms),
        p95Ms: middle((sample) => sample.p95Ms),
        p99Ms: middle((sample) => sample.p99Ms),
        serverCpuUs: optional((sample) => sample.serverCpuUs),
        clientCpuUs: middle((sample) => sample.clientCpuUs),
        rssMb: optional((sample) => sample.rssMb),
        computeUs: middle((sample) => sample.computeUs),
      },
    ];
  });
}

/** What other processes may use of a machine that counts as quiet. */
const QUIET_CORES = 0.2;

const COLUMNS = ["workload", "in flight", "server", "req/s", "p50 ms", "p95 ms", "p99 ms", "CPU us", "RSS MB"];
const FLOOR_COLUMNS = ["echo us", "x echo", "compute us", "over us"];

/** A text table of the servers' points with the floors beside them. */
export function toTable(points: readonly Point[], echo: string): string {
  const rows = points
    .filter((point) => point.subject !== echo)
    .map((point) => {
      const same = (other: Point) => other.workload === point.workload && other.concurrency === point.concurrency;
      const echoUs = points.find((other) => other.subject === echo && same(other))?.serverCpuUs;
      const cpuUs = point.serverCpuUs;
      return [
        point.workload,
        String(point.concurrency),
        point.subject,
        digits(point.requestsPerSecond),
        digits(point.p50Ms),
        digits(point.p95Ms),
        digits(point.p99Ms),
        digits(cpuUs),
        digits(point.rssMb),
        digits(echoUs),
        cpuUs === undefined || echoUs === undefined ? "-" : (cpuUs / echoUs).toFixed(2),
        point.computeUs === 0 ? "-" : digits(point.computeUs),
        cpuUs === undefined || point.computeUs === 0 ? "-" : digits(cpuUs - point.computeUs),
      ];
    });
  return alignColumns([[...COLUMNS, ...FLOOR_COLUMNS], ...rows]);
}

/** CPU time of the second server relative to the first at every point, one line each. */
export function toComparison(points: readonly Point[], first: string, second: string): string {
  const rows = points
    .filter((point) => point.subject === first)
    .map((point) => {
      const other = points.find(
        ({ subject, workload, concurrency }) =>
          subject === second && workload === point.workload && concurrency === point.concurrency,
      );
      const ratio = (point.serverCpuUs ?? Number.NaN) / (other?.serverCpuUs ?? Number.NaN);
      return [
        point.workload,
        String(point.concurrency),
        digits(point.serverCpuUs),
        digits(other?.serverCpuUs),
        ratio.toFixed(3),
      ];
    });
  return alignColumns([["workload", "in flight", `${first} CPU us`, `${second} CPU us`, "ratio"], ...rows]);
}

/** One line on how much of the machine other processes took while figures were measured. */
export function disturbance(otherCores: readonly number[]): string {
  const cores = median(otherCores);
  const most = Math.max(...otherCores);
  const verdict = cores > QUIET_CORES ? "NOT quiet: measure again before quoting figures" : "quiet";
  return `other processes kept ${digits(cores)} cores busy (median; at most ${digits(most)}): the machine was ${verdict}`;
}

/** Three significant digits, whole numbers from 100 on. */
export function digits(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "-";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-GB");
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Text columns to the left, figures to the right. */
export function alignColumns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const isFigure = (column: number) => /^[-\d.,]+$/.test(rows[1]?.[column] ?? "");
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          isFigure(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
