/** workload.json: how requests arrive, which levels they reach, and how fast they must be answered. */
import { JsonField } from "./json-field.ts";

export const WORKLOAD_FORMAT_VERSION = 1;

export interface WorkloadFile {
  /** Requests a second; with a trace: its mean rate is scaled to this. */
  readonly rate: number;
  readonly arrivals: Arrivals;
  /** Rows (batch elements) of one request. */
  readonly rowsPerRequest: number;
  readonly slo: LatencyObjective;
  /** Models smallest first with the ways rows take through them; null: a cascade on the command line says. */
  readonly dataflow: Dataflow | null;
  /** Share of the rows answered before the last level that is asked there again, for the drift watch. */
  readonly shadowShare: number;
}

export type Arrivals =
  /** Independent arrivals. */
  | { readonly process: "poisson" }
  /** Gamma distributed gaps; `cv` is their coefficient of variation: 1 is Poisson, above it arrivals come in bursts. */
  | { readonly process: "gamma"; readonly cv: number }
  /** Recorded arrivals: a text file with one time in milliseconds a line, relative to workload.json. */
  | { readonly process: "trace"; readonly file: string };

/** `percentile` of the requests are answered within `latencyMs`. */
export interface LatencyObjective {
  readonly latencyMs: number;
  /** Share of 1, such as 0.99. */
  readonly percentile: number;
}

export interface Dataflow {
  readonly levels: readonly string[];
  /** paths[k][j]: share of level k's rows answered there (j = k) or sent to level j (j > k). */
  readonly paths: readonly (readonly number[])[];
  /** .npz with the recorded `exits` (level whose answer stands) of real rows, relative to workload.json; null: none. */
  readonly recorded: string | null;
}

const POISSON: Arrivals = { process: "poisson" };

/** Reads and checks workload.json; throws INVALID_ARGUMENT naming file and field. */
export function readWorkloadFile(text: string, file: string): WorkloadFile {
  return workloadOf(JsonField.parse(text, file));
}

/** The same where the workload is part of another file. */
export function workloadOf(root: JsonField): WorkloadFile {
  root.object(["formatVersion", "rate", "arrivals", "rowsPerRequest", "slo", "dataflow", "shadowShare"]);
  root.get("formatVersion").integer(WORKLOAD_FORMAT_VERSION, WORKLOAD_FORMAT_VERSION);
  const rate = positive(root.get("rate"));
  const arrivals = root.optional("arrivals");
  const dataflow = root.optional("dataflow");
  return {
    rate,
    arrivals: arrivals === undefined ? POISSON : readArrivals(arrivals),
    rowsPerRequest: root.optional("rowsPerRequest")?.integer(1, 65_536) ?? 1,
    slo: readObjective(root.get("slo")),
    dataflow: dataflow === undefined || dataflow.isNull() ? null : readDataflow(dataflow),
    shadowShare: root.optional("shadowShare")?.number(0, 1) ?? 0,
  };
}

/** The level that all rows begin at: the first that sends rows anywhere. Levels that no row enters have zeros. */
export function entryOf(paths: readonly (readonly number[])[]): number {
  return Math.max(
    0,
    paths.findIndex((shares) => shares.some((share) => share > 0)),
  );
}

/** Share of all rows that enter each level: reach[entry] = 1, reach[j] = sum over k < j of reach[k] * paths[k][j]. */
export function reachOf(paths: readonly (readonly number[])[]): number[] {
  const entry = entryOf(paths);
  const reach: number[] = [];
  for (let j = 0; j < paths.length; j++) {
    let share = j === entry ? 1 : 0;
    for (let k = 0; k < j; k++) share += (reach[k] ?? 0) * (paths[k]?.[j] ?? 0);
    reach.push(share);
  }
  return reach;
}

/** Arrivals as workload.json and plan.json have them. */
export function readArrivals(field: JsonField): Arrivals {
  const process = field.get("process").oneOf(["poisson", "gamma", "trace"]);
  switch (process) {
    case "poisson":
      field.object(["process"]);
      return POISSON;
    case "gamma":
      field.object(["process", "cv"]);
      return { process, cv: positive(field.get("cv")) };
    case "trace":
      field.object(["process", "file"]);
      return { process, file: field.get("file").string() };
  }
}

/** The latency objective of workload.json and plan.json. */
export function readObjective(field: JsonField): LatencyObjective {
  field.object(["latencyMs", "percentile"]);
  const percentile = field.optional("percentile");
  return {
    latencyMs: positive(field.get("latencyMs")),
    percentile: percentile === undefined ? 0.99 : positive(percentile, 1),
  };
}

function readDataflow(field: JsonField): Dataflow {
  field.object(["levels", "paths", "reach", "recorded"]);
  const levels = field
    .get("levels")
    .items()
    .map((level) => level.string());
  if (levels.length === 0) throw field.get("levels").error("must name at least one model");
  const paths = field.optional("paths");
  const reach = field.optional("reach");
  if ((paths === undefined) === (reach === undefined)) throw field.error("must hold either 'paths' or 'reach'");
  return {
    levels,
    paths: paths === undefined ? stepsOf(reach as JsonField, levels.length) : readPaths(paths, levels.length),
    recorded: field.optional("recorded")?.string() ?? null,
  };
}

/** Paths between `levels` levels: rows go onwards only, and the shares of every level that rows enter add up to 1. */
export function readPaths(field: JsonField, levels: number): number[][] {
  const rows = field.items();
  if (rows.length !== levels) throw field.error(`must hold one list for each of the ${levels} levels`);
  const paths = rows.map((row, k) => {
    const shares = row.items().map((share) => share.number(0, 1));
    if (shares.length !== levels) throw row.error(`must hold one share for each of the ${levels} levels`);
    if (shares.some((share, j) => j < k && share !== 0)) throw row.error("must not send rows back to a smaller level");
    return shares;
  });
  const reach = reachOf(paths);
  for (const [k, row] of rows.entries()) {
    const sum = paths[k]?.reduce((total, share) => total + share, 0) ?? 0;
    const isUnused = sum === 0 && reach[k] === 0;
    if (!isUnused && Math.abs(sum - 1) > 1e-6) throw row.error(`must add up to 1, not ${sum}`);
  }
  return paths;
}

/** Paths of a cascade without skips that has this reach: rows go from one level to the next only. */
function stepsOf(field: JsonField, levels: number): number[][] {
  const reach = field.items().map((share) => share.number(0, 1));
  if (reach.length !== levels) throw field.error(`must hold one share for each of the ${levels} levels`);
  if (reach[0] !== 1) throw field.error("must begin with 1: every row enters the first level");
  return reach.map((share, k) => {
    const next = reach[k + 1] ?? 0;
    if (next > share) throw field.error("must not rise: without skips no level sees more rows than the one before it");
    const onwards = share === 0 ? 0 : next / share;
    return reach.map((_, j) => (j === k ? 1 - onwards : j === k + 1 ? onwards : 0));
  });
}

function positive(field: JsonField, most = Number.POSITIVE_INFINITY): number {
  const value = field.number(0, most);
  if (value === 0) throw field.error("must be above 0");
  return value;
}
