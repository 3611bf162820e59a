/** Profiles and devices for tests of the planner: times are proportional to rows, memory to weights. */

import type { PlanRequest } from "../../../planner/plan/make-plan.ts";
import type { PlanWorkload } from "../../../planner/plan/workload.ts";
import type { Device, DeviceClass, Links } from "../../../proto/files/devices-file.ts";
import type { ModelProfile } from "../../../proto/files/profile-file.ts";

export const CORE: DeviceClass = {
  name: "core",
  kind: "cpu",
  memoryBytes: 400e6,
  watts: { bare: 2, idle: 5, active: 15, source: "test" },
};
export const LINKS: Links = {
  sameNode: { bytesPerMs: 1e6, latencyMs: 0 },
  betweenNodes: { bytesPerMs: 1e6, latencyMs: 0 },
};

export function cores(count: number): Device[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `core${i}`,
    class: "core",
    node: "local",
    failureGroup: `group${i}`,
    cpus: String(i),
    ordinal: -1,
  }));
}

export interface SampleModel {
  readonly name: string;
  /** Of one row; a batch of n takes `fixedMs` and n times this. */
  readonly rowMs: number;
  readonly fixedMs?: number;
  readonly weightBytes: number;
  /** false: the whole model does not load. */
  readonly isWhole?: boolean;
  /** Nodes of equal time and weight; 0: no graph. */
  readonly nodes?: number;
}

export function sampleProfile(model: SampleModel): ModelProfile {
  const { name, rowMs, fixedMs = 0, weightBytes, isWhole = true, nodes = 8 } = model;
  return {
    name,
    version: "1",
    modelHash: `sha256:files:${name}`,
    maxBatchSize: 8,
    weightBytes,
    inputBytesPerRow: 100,
    outputBytesPerRow: 40,
    classes: [
      {
        class: "core",
        batches: isWhole
          ? [1, 2, 4, 8].map((batchSize) => ({
              batchSize,
              serviceMs: [fixedMs + rowMs * batchSize],
              peakBytes: 50e6 + weightBytes,
              energy: null,
            }))
          : [],
        stopped: isWhole ? "" : "memory: it does not fit",
      },
    ],
    graph:
      nodes === 0
        ? null
        : {
            optimisation: "extended",
            graphHash: "sha256:graph",
            batchSize: 1,
            nodeMs: { core: Array<number>(nodes).fill((fixedMs + rowMs) / nodes) },
            nodeWeightBytes: Array<number>(nodes).fill(weightBytes / nodes),
            cuts: Array.from({ length: nodes - 1 }, (_, i) => ({ position: i + 1, bytes: 1000, tensors: 1 })),
          },
  };
}

export function workload(overrides: Partial<PlanWorkload> & Pick<PlanWorkload, "paths">): PlanWorkload {
  const { paths } = overrides;
  return {
    rate: 10,
    arrivals: { process: "poisson" },
    process: { process: "poisson" },
    arrivalCv: 1,
    rowsPerRequest: 1,
    slo: { latencyMs: 1000, percentile: 0.99 },
    routing: { kind: "paths", paths },
    shadowShare: 0,
    ...overrides,
  };
}

/** A cascade of two levels of which this share goes on. */
export function twoLevels(escalated: number): number[][] {
  return [
    [1 - escalated, escalated],
    [0, 1],
  ];
}

export function planRequest(overrides: Partial<PlanRequest> & Pick<PlanRequest, "profiles" | "workload">): PlanRequest {
  return {
    objective: "throughput",
    classes: [CORE],
    devices: cores(2),
    links: LINKS,
    utilisationCap: 0.8,
    memoryShare: 0.9,
    copies: 1,
    unusedDevices: "off",
    gearPoints: [],
    seed: 1,
    simulatedRequests: 10_000,
    ...overrides,
  };
}
