/** A fleet scenario: devices, a workload and the figures of each level, from measurements or assumed; it says which. */
import { type DevicesFile, devicesOf } from "../../proto/files/devices-file.ts";
import { JsonField } from "../../proto/files/json-field.ts";
import { type Arrivals, type Dataflow, type WorkloadFile, workloadOf } from "../../proto/files/workload-file.ts";

export const SCENARIO_FORMAT_VERSION = 1;

export interface Scenario {
  readonly title: string;
  /** Where each figure comes from: measured with which command, taken from where, or assumed. For the reader. */
  readonly sources: readonly string[];
  readonly devices: DevicesFile;
  /** How fast each class runs every level, by name; 1 where the file says nothing. */
  readonly speeds: ReadonlyMap<string, number>;
  /** Its rate is the one of interest; `rates` are tried beside it. Its arrivals are not a trace. */
  readonly workload: ScenarioWorkload;
  /** Requests a second, ascending. */
  readonly rates: readonly number[];
  /** No device is planned to be busier than this share of the time. */
  readonly utilisationCap: number;
  /** In the order of the workload's levels. */
  readonly levels: readonly ScenarioLevel[];
  /** What is promised of the accuracy at this reach; null: nothing is certified. */
  readonly certificate: ScenarioCertificate | null;
}

export interface ScenarioWorkload extends WorkloadFile {
  readonly dataflow: Dataflow;
  readonly arrivals: Exclude<Arrivals, { readonly process: "trace" }>;
}

export interface ScenarioLevel {
  readonly model: string;
  /** Numbers of equal stages, each on a device of its own, that the model can be cut into. */
  readonly stages: readonly number[];
  /** Of all stages together. */
  readonly memoryBytes: number;
  /** What a stage hands over, per row. */
  readonly outputBytesPerRow: number;
  /** Device milliseconds of a batch of `rows`, all stages together, on a device of speed 1; ascending rows, 1 first. */
  readonly times: readonly BatchTime[];
}

export interface BatchTime {
  readonly rows: number;
  readonly ms: number;
}

export interface ScenarioCertificate {
  /** Largest drop of accuracy against the last level, a share of 1. */
  readonly maxDrop: number;
  /** Chance that the promise is wrong. */
  readonly risk: number;
}

/** Reads and checks a scenario; throws INVALID_ARGUMENT naming file and field. */
export function readScenario(text: string, file: string): Scenario {
  const root = JsonField.parse(text, file).object([
    "formatVersion",
    "title",
    "sources",
    "devices",
    "speeds",
    "workload",
    "rates",
    "utilisationCap",
    "levels",
    "certificate",
  ]);
  root.get("formatVersion").integer(SCENARIO_FORMAT_VERSION, SCENARIO_FORMAT_VERSION);
  const sources = root.get("sources").items();
  if (sources.length === 0) throw root.get("sources").error("must say where the figures come from");
  const devices = devicesOf(root.get("devices"));
  const workload = readWorkload(root.get("workload"));
  return {
    title: root.get("title").string(),
    sources: sources.map((source) => source.string()),
    devices,
    speeds: readSpeeds(root.optional("speeds"), devices),
    workload,
    rates: ascending(root.get("rates")),
    utilisationCap: positive(root.get("utilisationCap"), 1),
    levels: readLevels(root.get("levels"), workload.dataflow.levels),
    certificate: readCertificate(root.get("certificate")),
  };
}

function readSpeeds(field: JsonField | undefined, { classes }: DevicesFile): ReadonlyMap<string, number> {
  field?.object(classes.map(({ name }) => name));
  return new Map(
    classes.map(({ name }) => {
      const speed = field?.optional(name);
      return [name, speed === undefined ? 1 : positive(speed)];
    }),
  );
}

function readWorkload(field: JsonField): ScenarioWorkload {
  const workload = workloadOf(field);
  const { dataflow, arrivals } = workload;
  if (dataflow === null) throw field.error("must hold a 'dataflow': a scenario has no cascade to take it from");
  if (dataflow.recorded !== null) throw field.get("dataflow").get("recorded").error("is not known in a scenario");
  if (workload.rowsPerRequest !== 1) throw field.get("rowsPerRequest").error("must be 1 in a scenario");
  if (arrivals.process === "trace") throw field.get("arrivals").error("must not be a trace in a scenario");
  return { ...workload, dataflow, arrivals };
}

function readLevels(field: JsonField, models: readonly string[]): ScenarioLevel[] {
  const levels = field.items().map(readLevel);
  if (levels.length !== models.length || levels.some((level, k) => level.model !== models[k])) {
    throw field.error(`must be the levels of workload.dataflow in their order: ${models.join(", ")}`);
  }
  return levels;
}

function readLevel(field: JsonField): ScenarioLevel {
  field.object(["model", "stages", "memoryBytes", "outputBytesPerRow", "times"]);
  const stages = ascending(field.get("stages"));
  for (const count of field.get("stages").items()) count.integer(1, 1024);
  const times = field.get("times").items().map(readTime);
  if (times[0]?.rows !== 1) throw field.get("times").error("must begin with the time of one row");
  for (const [i, time] of times.entries()) {
    const before = times[i - 1];
    if (before === undefined) continue;
    if (time.rows <= before.rows) throw field.get("times").error("must rise in 'rows'");
    if (time.ms < before.ms) throw field.get("times").error("must not fall in 'ms'");
  }
  return {
    model: field.get("model").string(),
    stages,
    memoryBytes: positive(field.get("memoryBytes")),
    outputBytesPerRow: field.optional("outputBytesPerRow")?.number(0) ?? 0,
    times,
  };
}

function readTime(field: JsonField): BatchTime {
  field.object(["rows", "ms"]);
  return { rows: field.get("rows").integer(1, 65_536), ms: positive(field.get("ms")) };
}

function readCertificate(field: JsonField): ScenarioCertificate | null {
  if (field.isNull()) return null;
  field.object(["maxDrop", "risk"]);
  return { maxDrop: field.get("maxDrop").number(0, 1), risk: field.get("risk").number(0, 1) };
}

function ascending(field: JsonField): number[] {
  const values = field.items().map((value) => positive(value));
  if (values.length === 0) throw field.error("must hold at least one number");
  if (values.some((value, i) => value <= (values[i - 1] ?? 0))) throw field.error("must rise");
  return values;
}

function positive(field: JsonField, most = Number.POSITIVE_INFINITY): number {
  const value = field.number(0, most);
  if (value === 0) throw field.error("must be above 0");
  return value;
}
