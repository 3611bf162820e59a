/**
 * Ways to run one model: whole or cut, with service times and memory by device class. Cuts are chosen on the runtime's own
 * profile; their stages are estimated here and measured before a plan relies on them.
 */
import type { DeviceClass, Links } from "../../proto/files/devices-file.ts";
import type { ClassProfile, GraphProfile, ModelProfile } from "../../proto/files/profile-file.ts";
import { meanServiceMs, type ServiceTimes, type Stage } from "../fleet.ts";
import { type PartitionFound, partition } from "../partition/partition.ts";

/** One way to cut a model: ascending positions between nodes; empty: whole. */
export interface StagedModel {
  readonly cuts: readonly number[];
  readonly stages: readonly Stage[];
  /** False: times and memory are estimates. */
  readonly isMeasured: boolean;
}

/**
 * Peak of a process is about this and so many times the weights, which are in memory twice for a while: fitted to encoders
 * of 17, 44 and 164 MB (143, 186, 384 MB; Linux x64, Node 22, onnxruntime 1.30).
 */
const PROCESS_BYTES = 115e6;
const WEIGHT_COPIES = 1.65;
/** Handing a batch over takes this beside the link (planner.md 1.3). */
const BOUNDARY_MS = 0.1;
/** Runs in service take longer than runs back to back, where only the latter were measured (planner.md 4). */
const IN_SERVICE = 1.2;
/**
 * Shares of the memory that models may take on a device within which cuts are looked for: a stage that fills a device leaves
 * no room for a small model beside it, one that is cut for time alone may hold most of the weights.
 */
const MEMORY_SHARES = [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5];
/** More stages than these have never paid on one machine, and planning time grows with them. */
const MOST_STAGES = 8;

/** The model as it is; undefined where no class can hold it whole. */
export function wholeModel(profile: ModelProfile): StagedModel | undefined {
  const measured = profile.classes.filter((each) => each.batches.length > 0);
  if (measured.length === 0) return undefined;
  const stage: Stage = {
    id: `${profile.name}-0`,
    memoryBytes: new Map(measured.map((each) => [each.class, peakBytes(each)])),
    service: new Map(measured.map((each) => [each.class, serviceOf(each)])),
    energyJ: new Map(measured.flatMap((each) => energyOf(each))),
    outputBytesPerRow: profile.outputBytesPerRow,
  };
  return { cuts: [], stages: [stage], isMeasured: true };
}

/** Milliseconds on a class for one that nodes take where they were profiled; see `classSpeeds`. */
export type ClassSpeeds = ReadonlyMap<string, number>;

/**
 * For classes whose nodes cannot be profiled one by one, such as GPUs: how long whole models take there compared with the
 * sum of their nodes elsewhere. Only shares of nodes matter to a cut, and chosen stages are measured.
 */
export function classSpeeds(profiles: readonly ModelProfile[], classes: readonly DeviceClass[]): ClassSpeeds {
  return new Map(
    classes.flatMap(({ name }) => {
      const ratios = profiles.flatMap(({ graph, classes: measured }) => {
        const whole = measured.find((each) => each.class === name);
        if (graph === null || whole === undefined || whole.batches.length === 0) return [];
        const elsewhere = graph.nodeMs[name] === undefined ? sum(Object.values(graph.nodeMs)[0] ?? []) : 0;
        return elsewhere > 0 ? [meanServiceMs(serviceOf(whole), graph.batchSize) / elsewhere] : [];
      });
      return ratios.length === 0 ? [] : [[name, sum(ratios) / ratios.length] as const];
    }),
  );
}

/** Of the class, else of another one at the class's speed. */
function nodeTimes(graph: GraphProfile, className: string, speeds: ClassSpeeds): readonly number[] | undefined {
  const own = graph.nodeMs[className];
  if (own !== undefined) return own;
  const speed = speeds.get(className) ?? 1;
  return Object.values(graph.nodeMs)[0]?.map((ms) => ms * speed);
}

/** The best cuts into 2, 3 ... stages for each class, as far as devices and memory allow; each set of cuts once. */
export function cutModels(
  profile: ModelProfile,
  classes: readonly DeviceClass[],
  links: Links,
  deviceCount: number,
  memoryShare: number,
  speeds: ClassSpeeds = new Map(),
): StagedModel[] {
  const { graph } = profile;
  if (graph === null || graph.cuts.length === 0) return [];
  const found = new Map<string, StagedModel>();
  for (const deviceClass of classes) {
    const nodeMs = nodeTimes(graph, deviceClass.name, speeds);
    if (nodeMs === undefined) continue;
    for (let stages = 2; stages <= Math.min(MOST_STAGES, deviceCount); stages++) {
      for (const share of MEMORY_SHARES) {
        const stageBytes = deviceClass.memoryBytes * memoryShare * share;
        const cut = partition({
          nodeMs,
          weightBytes: graph.nodeWeightBytes,
          candidates: graph.cuts,
          linkBytesPerMs: links.sameNode.bytesPerMs,
          boundaryMs: BOUNDARY_MS + links.sameNode.latencyMs,
          stages,
          memoryLimitBytes: Math.max(0, (stageBytes - PROCESS_BYTES) / WEIGHT_COPIES),
        });
        // With less memory it is as impossible.
        if (!cut.feasible) break;
        if (found.has(cut.cuts.join())) continue;
        const staged = cut.stages.map((_, i) => estimatedStage(profile, graph, classes, cut, i, speeds));
        found.set(cut.cuts.join(), { cuts: cut.cuts, stages: staged, isMeasured: false });
      }
    }
  }
  return [...found.values()];
}

function estimatedStage(
  profile: ModelProfile,
  graph: GraphProfile,
  classes: readonly DeviceClass[],
  cut: PartitionFound,
  index: number,
  speeds: ClassSpeeds,
): Stage {
  const estimate = cut.stages[index];
  const [from, to] = [estimate?.fromNode ?? 0, estimate?.toNode ?? 0];
  const memory = PROCESS_BYTES + WEIGHT_COPIES * (estimate?.weightBytes ?? 0);
  const known = classes.flatMap(({ name }) => {
    const nodeMs = nodeTimes(graph, name, speeds);
    return nodeMs === undefined ? [] : [{ name, nodeMs }];
  });
  const crossing = graph.cuts.find(({ position }) => position === to)?.bytes ?? 0;
  return {
    id: `${profile.name}-${index}`,
    memoryBytes: new Map(known.map(({ name }) => [name, memory])),
    service: new Map(
      known.map(({ name, nodeMs }) => {
        const whole = profile.classes.find((each) => each.class === name);
        return [name, estimatedService(profile, graph, whole, nodeMs, sum(nodeMs.slice(from, to)))];
      }),
    ),
    energyJ: new Map(),
    outputBytesPerRow: index === cut.stages.length - 1 ? profile.outputBytesPerRow : crossing / graph.batchSize,
  };
}

/** Its share of the whole model's measured times; where there are none, its nodes' times, proportional to the rows. */
function estimatedService(
  profile: ModelProfile,
  graph: GraphProfile,
  whole: ClassProfile | undefined,
  nodeMs: readonly number[],
  ownMs: number,
): ServiceTimes {
  const all = sum(nodeMs);
  if (whole !== undefined && whole.batches.length > 0 && all > 0) {
    const { batchSizes, samplesMs } = serviceOf(whole);
    const scaled = samplesMs.map((samples) => samples.map((ms) => (ms * ownMs) / all + BOUNDARY_MS));
    return { batchSizes, samplesMs: scaled };
  }
  const batchSizes = powersOfTwo(profile.maxBatchSize);
  return {
    batchSizes,
    samplesMs: batchSizes.map((rows) => [(ownMs * IN_SERVICE * rows) / graph.batchSize + BOUNDARY_MS]),
  };
}

/** 1, 2, 4 ... up to `most`, and `most`. */
export function powersOfTwo(most: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < most; size *= 2) sizes.push(size);
  return [...sizes, Math.max(1, most)];
}

export function serviceOf({ batches }: ClassProfile): ServiceTimes {
  return {
    batchSizes: batches.map(({ batchSize }) => batchSize),
    samplesMs: batches.map(({ serviceMs }) => serviceMs),
  };
}

/** Joules by batch size, where every size has them. */
function energyOf({ class: name, batches }: ClassProfile): [string, number[]][] {
  const joules = batches.flatMap(({ energy }) => (energy === null ? [] : [energy.joules]));
  return joules.length === batches.length ? [[name, joules]] : [];
}

export function peakBytes({ batches }: ClassProfile): number {
  return Math.max(...batches.map((batch) => batch.peakBytes));
}

/** Batch sizes worth planning with: the measured ones up to `most` rows of the fastest class, larger ones only if they pay. */
export function usefulBatchSizes({ stages }: StagedModel): number[] {
  const service = [...(stages[0]?.service.values() ?? [])];
  const sizes = [...new Set(service.flatMap(({ batchSizes }) => batchSizes))].sort((a, b) => a - b);
  return sizes.filter((size, i) => {
    if (i === 0) return true;
    const before = sizes[i - 1] ?? 1;
    // A batch that takes its rows' worth of the smaller one's time only makes requests wait for each other.
    return service.some((times) => meanServiceMs(times, size) / size < (0.97 * meanServiceMs(times, before)) / before);
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
