/**
 * The simulator against the real server: recorded arrivals are played to both. Service times are calibrated in service,
 * at half load and on other arrivals: means by batch size from the server's own statistics, spread as lone requests are,
 * and one constant for what a request takes outside queue and instance.
 */
import { seededRandom } from "../planner/cascade/random.ts";
import type { Fleet, ServiceTimes } from "../planner/fleet.ts";
import { arrivalTimesMs } from "../planner/simulate/arrivals.ts";
import { simulate } from "../planner/simulate/simulate.ts";
import type { SimulationResult } from "../planner/simulate/simulation.ts";
import { decodeInferResponse } from "../proto/codec/decode-response.ts";
import type { CascadeFile } from "../proto/files/cascade-file.ts";
import type { ReplayCommand, ReplayReply } from "./replay-protocol.ts";
import { meansBetween, type StatisticsClient } from "./service-means.ts";
import { percentile } from "./statistics.ts";

export interface AgreementTiming {
  /** Length of a replay, and of the closed loop that finds the saturation. */
  readonly replayMs: number;
  readonly saturationRequests: number;
}

/** A model behind a level: as its configuration says. */
export interface AgreementLevel {
  readonly name: string;
  readonly instances: number;
  readonly maxBatch: number;
  /** Requests to it alone, which tell how much its runs vary. */
  readonly messages: readonly Uint8Array[];
}

/** One way to ask the server. */
export interface AgreementCase {
  readonly name: string;
  /** Smallest first. */
  readonly levels: readonly AgreementLevel[];
  readonly messages: readonly Uint8Array[];
  readonly rowsPerRequest: number;
  /** Way of each row of the messages. */
  readonly ways: Uint32Array;
}

/** Both sides of one replay; errors are of the simulation. */
export interface Agreement {
  readonly case: string;
  readonly load: number;
  readonly requests: number;
  readonly measured: Figures;
  readonly simulated: Figures;
}

export interface Figures {
  readonly goodput: number;
  readonly meanMs: number;
  readonly p95Ms: number;
}

const LOADS = [0.3, 0.5, 0.7];
const CALIBRATION_LOAD = 0.5;
const IN_FLIGHT = 32;
/** Objective: this many times the latency of a request that is alone, as AlpaServe scales its own. */
const SLO_SCALE = 5;
const WARMUP_SHARE = 0.1;
const VARIATION_REQUESTS = 500;
/** A batch size counts when the calibration saw it so often. */
const LEAST_RUNS = 5;
const UNBOUNDED = Number.MAX_SAFE_INTEGER;

/** Plays one command on the server under test. */
export type Replay = (
  command: Omit<ReplayCommand, "kind" | "port">,
) => Promise<Extract<ReplayReply, { kind: "replayed" }>>;

/** Measures one case at every load. */
export async function measureAgreement(
  one: AgreementCase,
  replay: Replay,
  statistics: StatisticsClient,
  timing: AgreementTiming,
): Promise<Agreement[]> {
  const { messages, ways } = one;
  const asked = { messages, mostInFlight: UNBOUNDED, keepsAnswers: false };
  const saturation = await saturationRate(replay, messages, timing.saturationRequests);
  const alone = await replay({ ...asked, arrivalsMs: new Float64Array(200), mostInFlight: 1 });
  const sloMs = SLO_SCALE * mean(alone.latenciesMs);
  const playAt = (load: number, seed: number) => {
    const rate = saturation * load;
    const count = Math.ceil((rate * timing.replayMs) / 1000);
    const arrivalsMs = arrivalTimesMs({ process: "poisson" }, rate, count, seededRandom(seed));
    return replay({ ...asked, arrivalsMs });
  };
  const variations = new Map<string, readonly number[]>();
  for (const level of one.levels) variations.set(level.name, await variationOf(level, replay));
  const before = await statistics.totals();
  const calibration = await playAt(CALIBRATION_LOAD, 1001);
  const after = await statistics.totals();
  const fleet = calibratedFleet(one.levels, (model) =>
    serviceOf(meansBetween(before, after, model, LEAST_RUNS), variations.get(model) ?? [1], model),
  );
  const simulated = (sentMs: Float64Array, overheadMs: number): SimulationResult => {
    const spanMs = (sentMs.at(-1) ?? 0) - (sentMs[0] ?? 0);
    return simulate(
      fleet,
      {
        ratePerSecond: (1000 * (sentMs.length - 1)) / spanMs,
        arrivals: { process: "trace", timesMs: sentMs },
        rowsPerRequest: one.rowsPerRequest,
        sloMs,
        routing: { kind: "recorded", ways, order: "sequence" },
        shadowShare: 0,
      },
      { requests: sentMs.length, warmupShare: WARMUP_SHARE, overheadMs },
    );
  };
  // Medians: one stall of the machine does not become part of every request.
  const overheadMs = medianOf(calibration.latenciesMs) - simulated(calibration.sentMs, 0).latencyMs.p50;
  const results: Agreement[] = [];
  for (const [i, load] of LOADS.entries()) {
    const { sentMs, latenciesMs } = await playAt(load, 1 + i);
    const { goodput, latencyMs } = simulated(sentMs, Math.max(0, overheadMs));
    results.push({
      case: one.name,
      load,
      requests: sentMs.length,
      measured: figuresOf(latenciesMs, sloMs),
      simulated: { goodput, meanMs: latencyMs.mean, p95Ms: latencyMs.p95 },
    });
  }
  return results;
}

/** Ways of rows that a cascade without skips answered: every level up to the one that the answer names. */
export async function waysOfAnswers(replay: Replay, messages: readonly Uint8Array[]): Promise<Uint32Array> {
  const { answers } = await replay({
    messages,
    arrivalsMs: new Float64Array(messages.length),
    mostInFlight: IN_FLIGHT,
    keepsAnswers: true,
  });
  const exits = answers.flatMap((message) => {
    const output = decodeInferResponse(message).outputs.find(({ name }) => name === "CASCADE_LEVEL");
    if (output === undefined) throw new Error("an answer of the cascade has no output CASCADE_LEVEL");
    return [...new Int32Array(Uint8Array.from(output.data).buffer)];
  });
  return waysUpTo(exits);
}

/** Ways through every level up to the one that answers. */
export function waysUpTo(exits: readonly number[]): Uint32Array {
  return Uint32Array.from(exits, (exit) => 2 ** (exit + 1) - 1);
}

/** Ways of answers tell nothing of skipped levels. */
export function checkNoSkips(file: CascadeFile): void {
  const point = file.operatingPoints.find(({ name }) => name === file.default);
  if (point?.gates.some(({ skip }) => skip.some((cut) => cut > 0)) === true) {
    throw new Error(`operating point ${file.default} skips levels: the bench cannot tell the ways of its rows`);
  }
}

async function saturationRate(replay: Replay, messages: readonly Uint8Array[], requests: number): Promise<number> {
  const arrivalsMs = new Float64Array(requests);
  const { sentMs, latenciesMs } = await replay({ messages, arrivalsMs, mostInFlight: IN_FLIGHT, keepsAnswers: false });
  const endMs = sentMs.reduce((latest, sent, i) => Math.max(latest, sent + (latenciesMs[i] ?? 0)), 0);
  return (1000 * requests) / endMs;
}

/** Latencies of lone requests as multiples of their mean: means by batch size become samples with them. */
async function variationOf({ messages }: AgreementLevel, replay: Replay): Promise<readonly number[]> {
  const arrivalsMs = new Float64Array(VARIATION_REQUESTS);
  const { latenciesMs } = await replay({ messages, arrivalsMs, mostInFlight: 1, keepsAnswers: false });
  const measured = latenciesMs.slice(Math.floor(latenciesMs.length * WARMUP_SHARE));
  return Array.from(measured, (latencyMs) => latencyMs / mean(measured));
}

function serviceOf(means: ReturnType<typeof meansBetween>, variation: readonly number[], model: string): ServiceTimes {
  if (means.length === 0) {
    throw new Error(`the calibration ran no batch size of ${model} ${LEAST_RUNS} times: play longer`);
  }
  return {
    batchSizes: means.map(({ batchSize }) => batchSize),
    samplesMs: means.map(({ meanMs }) => variation.map((share) => share * meanMs)),
  };
}

/** Every instance on a device of its own. */
function calibratedFleet(levels: readonly AgreementLevel[], serviceOfModel: (model: string) => ServiceTimes): Fleet {
  const link = { bytesPerMs: 1e6, latencyMs: 0 };
  const replicas = levels.flatMap(({ instances }, level) => new Array<number>(instances).fill(level));
  return {
    classes: [{ name: "instance", kind: "cpu", memoryBytes: 1, watts: null }],
    devices: replicas.map((_, i) => ({
      id: `instance-${i}`,
      class: "instance",
      node: "local",
      failureGroup: "local",
      cpus: "",
      ordinal: -1,
    })),
    links: { sameNode: link, betweenNodes: link },
    levels: levels.map(({ name, maxBatch }) => ({
      model: name,
      batch: { maxBatchSize: maxBatch, preferredBatchSizes: [], maxQueueDelayMs: 0, preserveOrdering: false },
      stages: [
        {
          id: name,
          memoryBytes: new Map(),
          service: new Map([["instance", serviceOfModel(name)]]),
          energyJ: new Map(),
          outputBytesPerRow: 0,
        },
      ],
    })),
    replicas: replicas.map((level, device) => ({ level, stage: 0, device, share: 1 })),
  };
}

function figuresOf(latenciesMs: Float64Array, sloMs: number): Figures {
  const measured = latenciesMs.slice(Math.floor(latenciesMs.length * WARMUP_SHARE)).sort();
  const good = measured.filter((latencyMs) => latencyMs <= sloMs).length;
  return { goodput: good / measured.length, meanMs: mean(measured), p95Ms: percentile(measured, 0.95) };
}

function medianOf(latenciesMs: Float64Array): number {
  return percentile(latenciesMs.slice(Math.floor(latenciesMs.length * WARMUP_SHARE)).sort(), 0.5);
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
