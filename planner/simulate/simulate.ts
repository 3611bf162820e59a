/**
 * What-if: plays a workload on a fleet and tells latency, goodput, utilisation and energy. Deterministic by seed. Not
 * played: failures, deadlines and queue timeouts, the order of answers (`preserveOrdering`), and the server's own work on
 * a request, for which `overheadMs` stands.
 */
import { InferenceError } from "../../proto/errors.ts";
import { seededRandom } from "../cascade/random.ts";
import type { Fleet } from "../fleet.ts";
import { arrivalTimesMs } from "./arrivals.ts";
import { fleetEnergy } from "./energy.ts";
import { Engine } from "./engine.ts";
import { Entries } from "./entry.ts";
import { buildMachinery, type Machinery } from "./machinery.ts";
import { type HistogramBar, histogram, percentiles } from "./measures.ts";
import { SimulatedShadows } from "./shadows.ts";
import type {
  LatencySummary,
  LevelResult,
  SimulatedWorkload,
  SimulationOptions,
  SimulationResult,
} from "./simulation.ts";
import { MOST_LEVELS, type Routing, waySource } from "./ways.ts";
import { Window } from "./window.ts";

const DEFAULT_REQUESTS = 100_000;
const DEFAULT_WARMUP_SHARE = 0.1;
const HISTOGRAM_BARS = 60;

/** Independent streams of random numbers: another fleet sees the same arrivals and the same rows. */
const STREAMS = { arrivals: 0x1b873593, ways: 0x85ebca6b, service: 0xc2b2ae35 } as const;

/** Throws INVALID_ARGUMENT where fleet and workload do not fit each other. */
export function simulate(fleet: Fleet, workload: SimulatedWorkload, options: SimulationOptions = {}): SimulationResult {
  checkRouting(workload.routing, fleet.levels.length);
  const seed = options.seed ?? 1;
  const stream = (salt: number) => seededRandom(Math.imul(seed ^ salt, 0x9e3779b1) ^ salt);
  const requests = options.requests ?? DEFAULT_REQUESTS;
  const arrivalsMs = arrivalTimesMs(workload.arrivals, workload.ratePerSecond, requests, stream(STREAMS.arrivals));
  const warmup = Math.floor(requests * (options.warmupShare ?? DEFAULT_WARMUP_SHARE));
  if (warmup >= requests)
    throw new InferenceError("INVALID_ARGUMENT", "simulate at least one request behind the warm-up");
  const window = new Window(warmup === 0 ? 0 : (arrivalsMs[warmup] ?? 0), arrivalsMs[requests - 1] ?? 0);
  const machinery = buildMachinery(fleet, new Entries(requests * workload.rowsPerRequest), stream(STREAMS.service));
  const mostShadowRows = fleet.levels.at(-1)?.batch.maxBatchSize ?? 1;
  const shadows = new SimulatedShadows(workload.shadowShare, seed, mostShadowRows);
  const engine = new Engine(
    machinery,
    {
      arrivalsMs,
      rowsPerRequest: workload.rowsPerRequest,
      nextWay: waySource(workload.routing, stream(STREAMS.ways)),
      shadows,
      mostQueued: options.mostQueued ?? Number.POSITIVE_INFINITY,
      window,
    },
    options.observer,
  );
  engine.run();
  const { finishedMs } = engine;
  const measured = latenciesOf(arrivalsMs, finishedMs, warmup, options.overheadMs ?? 0);
  const counts = countAnswers(finishedMs, window);
  const good = measured.reduce((sum, latencyMs) => sum + (latencyMs <= workload.sloMs ? 1 : 0), 0);
  const latencyMs = summary(measured);
  return {
    seed,
    requests: {
      offered: requests,
      answered: counts.beforeEnd,
      refused: engine.refusedAtLastArrival,
      underWay: engine.underWay,
    },
    measuredMs: window.lengthMs,
    measuredRequests: requests - warmup,
    offeredRate: (1000 * (requests - warmup)) / window.lengthMs,
    throughput: (1000 * counts.within) / window.lengthMs,
    latencyMs,
    goodput: good / (requests - warmup),
    sloMs: workload.sloMs,
    meanInSystem: engine.meanInSystem,
    latencyHistogram: bars(measured, latencyMs.p99),
    levels: levelResults(fleet, machinery, engine.answeredRows, window),
    replicaUtilisation: machinery.replicas.map((replica) => replica.measuredBusyMs / window.lengthMs),
    deviceUtilisation: machinery.devices.map((device) => device.busyMs / window.lengthMs),
    shadows: { rows: shadows.rows, droppedRows: shadows.droppedRows },
    energy: fleetEnergy(fleet, machinery.devices, window, counts.within, options.unusedDevices ?? "off"),
  };
}

function checkRouting(routing: Routing, levels: number): void {
  const invalid = (text: string) => new InferenceError("INVALID_ARGUMENT", text);
  if (levels === 0) throw invalid("the fleet has no level");
  if (levels > MOST_LEVELS) throw invalid(`the fleet has ${levels} levels, at most ${MOST_LEVELS} can be simulated`);
  if (routing.kind === "paths") {
    if (routing.paths.length === levels) return;
    throw invalid(`the workload's paths are for ${routing.paths.length} levels, but the fleet has ${levels}`);
  }
  if (routing.ways.length === 0) throw invalid("there are no recorded rows to take ways from");
  if (routing.ways.some((way) => way === 0 || way >= 2 ** levels)) {
    throw invalid(`a recorded row goes to a level that the fleet's ${levels} levels do not have`);
  }
}

/** Latencies of the measured requests that were answered. */
function latenciesOf(arrivalsMs: Float64Array, finishedMs: Float64Array, from: number, overheadMs: number) {
  const latencies = new Float64Array(arrivalsMs.length - from);
  let count = 0;
  for (let i = from; i < arrivalsMs.length; i++) {
    const finished = finishedMs[i] ?? Number.NaN;
    if (!Number.isNaN(finished)) latencies[count++] = finished - (arrivalsMs[i] ?? 0) + overheadMs;
  }
  return latencies.subarray(0, count);
}

/** Answers before the last arrival, and those of them in the measured part. */
function countAnswers(finishedMs: Float64Array, window: Window) {
  let beforeEnd = 0;
  let within = 0;
  for (const finished of finishedMs) {
    if (!(finished < window.toMs)) continue;
    beforeEnd++;
    if (finished >= window.fromMs) within++;
  }
  return { beforeEnd, within };
}

/** Reorders the latencies. */
function summary(latencies: Float64Array): LatencySummary {
  let sum = 0;
  for (const latencyMs of latencies) sum += latencyMs;
  const [p50 = 0, p90 = 0, p95 = 0, p99 = 0, p999 = 0, max = 0] = percentiles(
    latencies,
    [0.5, 0.9, 0.95, 0.99, 0.999, 1],
  );
  return { mean: sum / latencies.length, p50, p90, p95, p99, p999, max };
}

/** The body of the distribution in bars, all behind twice its 99th percentile in the last. */
function bars(latencies: Float64Array, p99: number): HistogramBar[] {
  return latencies.length === 0 || p99 === 0 ? [] : histogram(latencies, HISTOGRAM_BARS, 2 * p99);
}

function levelResults(
  fleet: Fleet,
  { levels, replicas }: Machinery,
  answeredRows: Float64Array,
  window: Window,
): LevelResult[] {
  const allRows = answeredRows.reduce((sum, rows) => sum + rows, 0);
  const busyMs = levels.map(() => 0);
  const copies = levels.map(() => 0);
  for (const { level, measuredBusyMs } of replicas) {
    busyMs[level.index] = (busyMs[level.index] ?? 0) + measuredBusyMs;
    copies[level.index] = (copies[level.index] ?? 0) + 1;
  }
  return levels.map(({ index, rows, batches, waits }) => ({
    model: fleet.levels[index]?.model ?? "",
    answeredShare: allRows === 0 ? 0 : (answeredRows[index] ?? 0) / allRows,
    rowsPerSecond: (1000 * rows) / window.lengthMs,
    meanBatch: batches === 0 ? 0 : rows / batches,
    queueMs: { mean: waits.mean, p50: waits.percentile(0.5), p99: waits.percentile(0.99) },
    utilisation: (busyMs[index] ?? 0) / ((copies[index] ?? 1) * window.lengthMs),
  }));
}
