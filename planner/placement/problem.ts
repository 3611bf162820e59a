/** What is to be placed: levels with their options, devices, and what the placement is for. */
import type { Device, DeviceClass, Links } from "../../proto/files/devices-file.ts";
import type { PlanObjective } from "../../proto/files/plan-file.ts";
import type { LatencyObjective } from "../../proto/files/workload-file.ts";
import type { BatchPolicy } from "../../scheduler/batcher.ts";
import type { Stage } from "../fleet.ts";

/** One way to run a level: cut into these stages, batched like this. */
export interface LevelOption {
  readonly stages: readonly Stage[];
  readonly batch: BatchPolicy;
  /** Rows of the batches that load and energy are counted at: the largest batch, or what a simulation saw. */
  readonly meanRows: number;
}

export interface PlacedLevel {
  readonly model: string;
  /** Share of all rows that enter the level, shadow rows included. */
  readonly reach: number;
  /** False: so few rows enter that the latency percentile is answered before; see `countsForLatency`. */
  readonly countsForLatency: boolean;
  /** Least copies of each stage, every one in a failure group of its own; 1: none to spare. */
  readonly copies: number;
  readonly options: readonly LevelOption[];
}

export interface PlacementProblem {
  /** `throughput`: the highest rate within the latency objective. `energy`: the fewest watts at `rate`. */
  readonly objective: PlanObjective;
  readonly levels: readonly PlacedLevel[];
  readonly classes: readonly DeviceClass[];
  readonly devices: readonly Device[];
  readonly links: Links;
  /** Requests a second; the objective `throughput` does not look at it. */
  readonly rate: number;
  readonly rowsPerRequest: number;
  /** Coefficient of variation of the gaps between arrivals; 1: Poisson. */
  readonly arrivalCv: number;
  readonly slo: LatencyObjective;
  /** No device is planned to be busier than this share of the time. */
  readonly utilisationCap: number;
  /** Share of a device's memory that copies may take; the rest is for the runtime. */
  readonly memoryShare: number;
  /** What a device without copies takes: nothing (switched off, used elsewhere), or its bare watts. */
  readonly unusedDevices: "off" | "bare";
  /** A solver may stop this close to the bound, such as 0.005. */
  readonly relativeGap: number;
}

/**
 * Whether a level's latency shows in the percentile: not when at most 1 - percentile of the requests have a row that enters
 * it. `reach`: share of all rows that enter; the rows of a request are taken to be independent, as the simulator draws them.
 */
export function countsForLatency(reach: number, percentile: number, rowsPerRequest = 1): boolean {
  return 1 - (1 - reach) ** rowsPerRequest > 1 - percentile + 1e-12;
}
