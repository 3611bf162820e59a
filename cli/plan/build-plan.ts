/** From a made plan to plan.json. Pure, but for the clock of `createdAt`, which is passed in. */
import { meanServiceMs, type Replica, type Stage } from "../../planner/fleet.ts";
import type { MadePlan } from "../../planner/plan/make-plan.ts";
import { loadedReach } from "../../planner/plan/workload.ts";
import { type DevicesFile, threadsOf } from "../../proto/files/devices-file.ts";
import type {
  Explanation,
  FileReference,
  PlanFile,
  PlannedModel,
  PlannedStage,
  PlanProvenance,
} from "../../proto/files/plan-file.ts";
import type { CutModel } from "./measured-stages.ts";
import type { PlanOptions } from "./options.ts";
import type { PlanInputs } from "./plan-inputs.ts";

export interface BuildOptions {
  readonly options: PlanOptions;
  readonly inputs: PlanInputs;
  readonly made: MadePlan;
  /** By level: the files of a model that is cut; undefined: it runs whole. */
  readonly cut: readonly (CutModel | undefined)[];
  readonly explanation: Explanation;
  readonly command: string;
  readonly version: string;
  readonly createdAt: string;
}

/** Devices that hold something, the classes of these, and every figure of the plan. */
export function buildPlanFile(build: BuildOptions): PlanFile {
  const { options, inputs, made, createdAt, explanation } = build;
  const { fleet, predicted } = made;
  const used = new Set(fleet.replicas.map((replica) => replica.device));
  const devices = fleet.devices.filter((_, i) => used.has(i));
  const { workload } = inputs;
  return {
    createdAt,
    objective: options.objective,
    provenance: provenance(build),
    workload: {
      rate: workload.rate,
      arrivals: workload.arrivals,
      rowsPerRequest: workload.rowsPerRequest,
      slo: workload.slo,
      reach: loadedReach(workload),
      paths: workload.paths,
      shadowShare: workload.shadowShare,
      utilisationCap: options.utilisationCap,
    },
    cascade: inputs.cascade,
    classes: fleet.classes.filter(({ name }) => devices.some((device) => device.class === name)),
    devices,
    links: fleet.links,
    models: fleet.levels.map((_, k) => plannedModel(build, k)),
    stages: fleet.levels.flatMap((level, k) =>
      level.stages.map((stage, index) => plannedStage(build, k, stage, index)),
    ),
    placements: placements(made, inputs.inventory),
    gears: made.gears,
    prediction: {
      throughput: made.capacity?.rate ?? 0,
      latencyMs: {
        mean: predicted.latencyMs.mean,
        p50: predicted.latencyMs.p50,
        p95: predicted.latencyMs.p95,
        p99: predicted.latencyMs.p99,
      },
      goodput: predicted.goodput,
      watts: predicted.energy?.watts ?? null,
      joulesPerRequest: predicted.energy?.joulesPerRequest ?? null,
      energySource: predicted.energy?.source ?? "",
      simulatedRequests: predicted.measuredRequests,
    },
    explanation,
  };
}

function provenance({ inputs, made, options, command, version }: BuildOptions): PlanProvenance {
  const { algorithm, optimalityGap, solverMs, isTimeLimited } = made.placement;
  const { runtime } = inputs.profile;
  return {
    version,
    command,
    algorithm,
    seed: options.seed,
    optimalityGap: Number.isFinite(optimalityGap) ? optimalityGap : null,
    solverMs,
    isTimeLimited,
    profileHash: inputs.hashes.profile,
    devicesHash: inputs.hashes.devices,
    workloadHash: inputs.hashes.workload,
    onnxruntime: runtime.onnxruntime,
    node: runtime.node,
    providers: runtime.providers,
  };
}

function plannedModel({ inputs, made, cut }: BuildOptions, k: number): PlannedModel {
  const level = made.fleet.levels[k];
  const profile = inputs.profiles[k];
  const files = cut[k];
  const { maxBatchSize = 1, preferredBatchSizes = [], maxQueueDelayMs = 0 } = level?.batch ?? {};
  return {
    name: profile?.name ?? "",
    version: profile?.version ?? "",
    level: k,
    modelHash: profile?.modelHash ?? "",
    reach: loadedReach(inputs.workload)[k] ?? 0,
    stages: level?.stages.map(({ id }) => id) ?? [],
    batch: { max: maxBatchSize, preferred: preferredBatchSizes, maxQueueDelayUs: Math.round(maxQueueDelayMs * 1000) },
    weights: inFolder(files, files?.written.weights ?? null),
    numerics: files?.numerics ?? null,
  };
}

function plannedStage({ inputs, made, cut }: BuildOptions, k: number, stage: Stage, index: number): PlannedStage {
  const profile = inputs.profiles[k];
  const files = cut[k];
  const written = files?.written.stages[index];
  const result = made.predicted.levels[k];
  const { devices, replicas } = made.fleet;
  const isOwn = (replica: Replica) => replica.level === k && replica.stage === index;
  const own = replicas.flatMap((replica, i) => (isOwn(replica) ? [made.predicted.replicaUtilisation[i] ?? 0] : []));
  const classes = replicas.filter(isOwn).map(({ device }) => devices[device]?.class ?? "");
  return {
    id: stage.id,
    model: profile?.name ?? "",
    index,
    file: inFolder(files, written?.file ?? null),
    cut: written?.cut ?? null,
    inputs: written?.inputs ?? [],
    outputs: written?.outputs ?? [],
    graphOptimizationLevel: "all",
    weightBytes: written?.weightBytes ?? profile?.weightBytes ?? 0,
    peakBytes: Math.round(Math.max(0, ...classes.map((name) => stage.memoryBytes.get(name) ?? 0))),
    serviceMs: [...stage.service].map(([name, times]) => ({
      class: name,
      batchSizes: times.batchSizes,
      meanMs: times.batchSizes.map((size) => meanServiceMs(times, size)),
    })),
    expected: {
      rowsPerSecond: result?.rowsPerSecond ?? 0,
      utilisation: own.reduce((sum, share) => sum + share, 0) / Math.max(1, own.length),
      meanBatch: finite(result?.meanBatch),
    },
  };
}

function placements({ fleet }: MadePlan, inventory: DevicesFile): PlanFile["placements"] {
  const counts = new Map<string, number>();
  return fleet.replicas.flatMap(({ level, stage, device: index, share }) => {
    const id = fleet.levels[level]?.stages[stage]?.id ?? "";
    const device = fleet.devices[index];
    if (device === undefined) return [];
    const replica = counts.get(id) ?? 0;
    counts.set(id, replica + 1);
    const known = inventory.devices.find((each) => each.id === device.id);
    return [{ stage: id, replica, device: device.id, share, intraOpThreads: threadsOf(known ?? device) }];
  });
}

function inFolder(cut: CutModel | undefined, file: FileReference | null): FileReference | null {
  return cut === undefined || file === null ? null : { ...file, path: `${cut.folder}/${file.path}` };
}

/** Nothing ran: a batch that is not there has no size. */
function finite(value: number | undefined): number {
  return value !== undefined && Number.isFinite(value) ? value : 0;
}
