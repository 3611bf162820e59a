/** What the example found out, and how it is shown. */
import { textTable } from "../../cli/terminal/table.ts";
import type { StageProcess } from "./stage-processes.ts";

export interface LatencyMs {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface Outcome {
  readonly machine: string;
  /** As a user reads it, smallest first. */
  readonly models: readonly string[];
  readonly devices: number;
  readonly memoryMib: number;
  readonly giant: {
    readonly name: string;
    /** What the profile says of it on one device. */
    readonly refusal: string;
    readonly stages: number;
    readonly askedRows: number;
    /** Answers that are not what the model's rule says. */
    readonly wrongAnswers: number;
  };
  /** Empty outside Linux. */
  readonly processes: readonly StageProcess[];
  readonly cascade: {
    readonly operatingPoint: string;
    readonly askedRows: number;
    readonly rightAnswers: number;
    /** Share of the rows that the giant answered, expected and seen. */
    readonly plannedReach: number;
    readonly reach: number;
  };
  readonly objectiveMs: number;
  /** Requests a second within the objective. */
  readonly predictedThroughput: number;
  readonly saturation: { readonly predicted: number; readonly measured: number };
  readonly load: {
    readonly rate: number;
    readonly predicted: LatencyMs & { readonly throughput: number };
    readonly measured: LatencyMs & { readonly throughput: number };
    /** Cores that other programs kept busy meanwhile; null where the system does not tell. */
    readonly otherCores: number | null;
  };
  readonly report: string;
  readonly seconds: number;
}

const COLUMNS = 100;
/** What others may take before the figures are not worth quoting. */
const QUIET_CORES = 0.2;

export function outcomeText(outcome: Outcome): string {
  const { giant, cascade, load, saturation } = outcome;
  const lines = [
    `Machine: ${outcome.machine}. Devices: ${outcome.devices} cores with ${outcome.memoryMib} MiB each.`,
    ...outcome.models.map((model) => `  ${model}`),
    "",
    `${giant.name} whole on one device is refused:`,
    `  ${giant.refusal}`,
    `It answers from ${giant.stages} stages, ${right(giant.askedRows - giant.wrongAnswers, giant.askedRows)} as its rule says. ` +
      "CPU is what each process used meanwhile:",
    "",
    ...processTable(outcome.processes),
    "",
    `The cascade at ${cascade.operatingPoint}: ${right(cascade.rightAnswers, cascade.askedRows)} right; ${giant.name} was asked for ` +
      `${percent(cascade.reach)} of the rows, planned ${percent(cascade.plannedReach)}.`,
    "",
    ...textTable(
      [
        { title: "", align: "left", shrinks: false },
        { title: "predicted", align: "right", shrinks: false },
        { title: "measured", align: "right", shrinks: false },
        { title: "error", align: "right", shrinks: false },
      ],
      [
        row("requests/s, every device busy", saturation.predicted, saturation.measured),
        row(`requests/s at a load of ${digits(load.rate)}/s`, load.predicted.throughput, load.measured.throughput),
        row("p50 ms at that load", load.predicted.p50, load.measured.p50),
        row("p95 ms at that load", load.predicted.p95, load.measured.p95),
        row("p99 ms at that load", load.predicted.p99, load.measured.p99),
      ],
      COLUMNS,
    ),
    "",
    `Within ${outcome.objectiveMs} ms for 99 % of the requests the plan predicts ${digits(outcome.predictedThroughput)} requests/s.`,
    ...(load.otherCores === null ? [] : [othersText(load.otherCores)]),
    `Report: ${outcome.report} (took ${outcome.seconds.toFixed(0)} s)`,
  ];
  return `${lines.join("\n")}\n`;
}

function othersText(cores: number): string {
  const text = `Other programs kept ${cores.toFixed(1)} cores busy while it was loaded`;
  return cores > QUIET_CORES ? `${text}: the figures are theirs too, repeat this on a quiet machine.` : `${text}.`;
}

function processTable(processes: readonly StageProcess[]): string[] {
  if (processes.length === 0) return ["(processes are looked at in /proc, which is Linux')"];
  const mib = (value: number | null) => (value === null ? "none" : value.toFixed(0));
  return textTable(
    [
      { title: "stage", align: "left", shrinks: false },
      { title: "process", align: "right", shrinks: false },
      { title: "core", align: "right", shrinks: false },
      { title: "peak MiB", align: "right", shrinks: false },
      { title: "limit MiB", align: "right", shrinks: false },
      { title: "CPU s", align: "right", shrinks: false },
    ],
    processes.map(({ stage, pid, cpus, peakMib, memoryLimitMib, cpuSeconds }) => [
      stage,
      String(pid),
      cpus,
      mib(peakMib),
      mib(memoryLimitMib),
      cpuSeconds.toFixed(2),
    ]),
    COLUMNS,
  );
}

function row(name: string, predicted: number, measured: number): string[] {
  const error = 100 * (predicted / measured - 1);
  return [name, digits(predicted), digits(measured), `${error > 0 ? "+" : ""}${error.toFixed(1)} %`];
}

function right(count: number, of: number): string {
  return `${count} of ${of} rows`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}
