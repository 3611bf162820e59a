/** A small plan: `small` whole on two cores, `giant` in two stages on one core each. */
import type { PlanFile } from "../../proto/files/plan-file.ts";

export const GIANT_HASH = `sha256:files:${"a".repeat(64)}`;
export const SMALL_HASH = `sha256:files:${"b".repeat(64)}`;
export const STAGE_HASHES = [`sha256:${"c".repeat(64)}`, `sha256:${"d".repeat(64)}`] as const;
export const GOLDEN_HASH = `sha256:${"e".repeat(64)}`;
export const PROFILE_HASH = `sha256:${"f".repeat(64)}`;

export function samplePlan(overrides: Partial<PlanFile> = {}): PlanFile {
  const stage = (index: 0 | 1): PlanFile["stages"][number] => ({
    id: `giant-${index}`,
    model: "giant",
    index,
    file: { path: `stages/giant-${index}.onnx`, hash: STAGE_HASHES[index] },
    cut: { fromNode: index * 5, toNode: index * 5 + 5 },
    inputs: [index === 0 ? tensor("x", "") : tensor("hidden", "giant-0")],
    outputs: [index === 0 ? tensor("hidden", "giant-0") : tensor("y", "giant-1")],
    graphOptimizationLevel: "disabled",
    weightBytes: 4_000_000,
    peakBytes: 60_000_000,
    serviceMs: [{ class: "core", batchSizes: [1, 4], meanMs: [4, 10] }],
    expected: { rowsPerSecond: 20, utilisation: 0.1, meanBatch: 1.2 },
  });
  return {
    createdAt: "2026-01-01T00:00:00.000Z",
    objective: "throughput",
    provenance: {
      version: "0.1.0",
      command: "hybridserve plan --output plan",
      algorithm: "milp-device",
      seed: 1,
      optimalityGap: 0,
      solverMs: 12,
      isTimeLimited: false,
      profileHash: PROFILE_HASH,
      devicesHash: PROFILE_HASH,
      workloadHash: PROFILE_HASH,
      onnxruntime: "1.30.0",
      node: "v22.23.3",
      providers: ["cpu"],
    },
    workload: {
      rate: 100,
      arrivals: { process: "poisson" },
      rowsPerRequest: 1,
      slo: { latencyMs: 100, percentile: 0.99 },
      reach: [1, 0.2],
      paths: [
        [0.8, 0.2],
        [0, 1],
      ],
      shadowShare: 0,
      utilisationCap: 0.8,
    },
    cascade: { name: "family", version: "1", operatingPoint: "AP" },
    classes: [{ name: "core", kind: "cpu", memoryBytes: 200_000_000, watts: null }],
    devices: [device("core0", "0"), device("core1", "1")],
    links: { sameNode: { bytesPerMs: 1e6, latencyMs: 0.1 }, betweenNodes: { bytesPerMs: 1e6, latencyMs: 0.2 } },
    models: [
      {
        name: "small",
        version: "1",
        level: 0,
        modelHash: SMALL_HASH,
        reach: 1,
        stages: ["small-0"],
        batch: { max: 8, preferred: [8], maxQueueDelayUs: 0 },
        weights: null,
        numerics: null,
      },
      {
        name: "giant",
        version: "1",
        level: 1,
        modelHash: GIANT_HASH,
        reach: 0.2,
        stages: ["giant-0", "giant-1"],
        batch: { max: 4, preferred: [4], maxQueueDelayUs: 1000 },
        weights: null,
        numerics: { maxAbsDifference: 0, golden: { path: "golden/giant.npz", hash: GOLDEN_HASH } },
      },
    ],
    stages: [
      {
        id: "small-0",
        model: "small",
        index: 0,
        file: null,
        cut: null,
        inputs: [],
        outputs: [],
        graphOptimizationLevel: "all",
        weightBytes: 100_000,
        peakBytes: 40_000_000,
        serviceMs: [{ class: "core", batchSizes: [1, 8], meanMs: [0.5, 2] }],
        expected: { rowsPerSecond: 100, utilisation: 0.05, meanBatch: 1.1 },
      },
      stage(0),
      stage(1),
    ],
    placements: [
      { stage: "small-0", replica: 0, device: "core0", share: 0.5, intraOpThreads: 1 },
      { stage: "small-0", replica: 1, device: "core1", share: 0.5, intraOpThreads: 1 },
      { stage: "giant-0", replica: 0, device: "core0", share: 1, intraOpThreads: 1 },
      { stage: "giant-1", replica: 0, device: "core1", share: 1, intraOpThreads: 1 },
    ],
    gears: [
      { operatingPoint: "AP", fromRate: 0, toRate: 150, joulesPerRequest: null },
      { operatingPoint: "EO", fromRate: 150, toRate: 400, joulesPerRequest: null },
    ],
    prediction: {
      throughput: 150,
      latencyMs: { mean: 5, p50: 3, p95: 15, p99: 22 },
      goodput: 1,
      watts: null,
      joulesPerRequest: null,
      energySource: "",
      simulatedRequests: 100_000,
    },
    explanation: { binding: [], placements: ["", "", "", ""], oneMoreDevice: [] },
    ...overrides,
  };
}

function tensor(name: string, from: string): PlanFile["stages"][number]["inputs"][number] {
  return { name, datatype: "FP32", shape: [-1, 1], from };
}

function device(id: string, cpus: string): PlanFile["devices"][number] {
  return { id, class: "core", node: "local", failureGroup: "local", cpus, ordinal: -1 };
}
