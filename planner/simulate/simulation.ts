/** What a simulation takes and gives. All plain data: a result can be written as JSON as it is. */
import type { ArrivalProcess } from "./arrivals.ts";
import type { BatchObserver } from "./machinery.ts";
import type { HistogramBar } from "./measures.ts";
import type { Routing } from "./ways.ts";

export interface SimulatedWorkload {
  /** Requests a second; a trace is scaled to it. */
  readonly ratePerSecond: number;
  readonly arrivals: ArrivalProcess;
  readonly rowsPerRequest: number;
  /** A request is good when it is answered within this. */
  readonly sloMs: number;
  readonly routing: Routing;
  /** Share of the rows answered before the last level that it is asked again, when it has time. */
  readonly shadowShare: number;
}

export interface SimulationOptions {
  /** The same seed, fleet and workload give the same result. Default 1. */
  readonly seed?: number;
  /** Default 100,000. */
  readonly requests?: number;
  /** Share of the requests that come before anything is measured. Default 0.1. */
  readonly warmupShare?: number;
  /** Time of a request outside queues and replicas (network, protocol), added to every latency. Default 0. */
  readonly overheadMs?: number;
  /** What devices without a replica take: nothing, or their class's bare watts. Default "off". */
  readonly unusedDevices?: "off" | "bare";
  /** Most requests that wait for one level; more are refused. Default: no limit. */
  readonly mostQueued?: number;
  readonly observer?: BatchObserver;
}

export interface SimulationResult {
  readonly seed: number;
  /** At the last arrival: offered = answered + refused + underWay. Whatever is under way then is played to its end. */
  readonly requests: {
    readonly offered: number;
    readonly answered: number;
    readonly refused: number;
    readonly underWay: number;
  };
  /** Length of the measured part of the run. */
  readonly measuredMs: number;
  /** Requests that arrived in the measured part; latency and goodput are theirs. */
  readonly measuredRequests: number;
  /** Arrivals a second within the measured part: the workload's rate, give or take chance. */
  readonly offeredRate: number;
  /** Answers a second within the measured part. */
  readonly throughput: number;
  /** Exact, nearest rank. */
  readonly latencyMs: LatencySummary;
  /** Share of the measured requests that were answered within the objective. */
  readonly goodput: number;
  readonly sloMs: number;
  readonly meanInSystem: number;
  readonly latencyHistogram: readonly HistogramBar[];
  readonly levels: readonly LevelResult[];
  /** Share of the measured time in which each replica ran a batch, in the order of the fleet's. */
  readonly replicaUtilisation: readonly number[];
  /** The same of devices; one that several replicas share is busy when any runs. */
  readonly deviceUtilisation: readonly number[];
  readonly shadows: { readonly rows: number; readonly droppedRows: number };
  /** null: the watts of a class that the fleet uses are not known. */
  readonly energy: EnergyResult | null;
}

export interface LatencySummary {
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface LevelResult {
  readonly model: string;
  /** Share of all rows that this level answered, over the whole run. */
  readonly answeredShare: number;
  /** Rows a second that it ran, shadows included. */
  readonly rowsPerSecond: number;
  readonly meanBatch: number;
  /** Wait of requests for a replica; percentiles from a sketch, within 1.6 %. */
  readonly queueMs: { readonly mean: number; readonly p50: number; readonly p99: number };
  readonly utilisation: number;
}

export interface EnergyResult {
  /** Mean power of the fleet. */
  readonly watts: number;
  /** Of it: what loaded devices take when idle, what running adds, what unused devices take. */
  readonly idleWatts: number;
  readonly dynamicWatts: number;
  readonly bareWatts: number;
  /** All of it, and what running adds, by answered request. */
  readonly joulesPerRequest: number;
  readonly dynamicJoulesPerRequest: number;
  /** Where the figures come from. */
  readonly source: string;
}
