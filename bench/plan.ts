/**
 * `node bench/plan.ts`: how long a placement takes from the problem to devices, and how near to its bound it comes, by
 * devices, classes and objective. A cascade of four and of six levels from 0.35 to 26 GB, each with up to 60 ways to cut and
 * batch it, of which the menu keeps 12. Each case runs once in its own order: planning happens once, in a fresh process.
 * Exits with 1 where 10,000 devices take more than 60 seconds.
 */
import { HighsSolver } from "../cli/plan/highs-solver.ts";
import type { Stage } from "../planner/fleet.ts";
import { explainPlacement } from "../planner/placement/explain.ts";
import { withMenu } from "../planner/placement/menu.ts";
import { place } from "../planner/placement/place.ts";
import {
  countsForLatency,
  type LevelOption,
  type PlacedLevel,
  type PlacementProblem,
} from "../planner/placement/problem.ts";
import type { Device, DeviceClass } from "../proto/files/devices-file.ts";
import type { PlanObjective } from "../proto/files/plan-file.ts";
import { alignColumns, digits } from "./report.ts";

const MOST_SECONDS = 60;
const GB = 1e9;
const SLO = { latencyMs: 1500, percentile: 0.99 };
const BATCHES = [1, 2, 4, 8, 16, 32];

interface LevelSize {
  readonly reach: number;
  readonly bytes: number;
  /** One row alone on the fastest class. */
  readonly rowMs: number;
  readonly cuts: readonly number[];
}

const LEVELS: Readonly<Record<number, readonly LevelSize[]>> = {
  4: [
    { reach: 1, bytes: 0.35 * GB, rowMs: 2, cuts: [1] },
    { reach: 0.4, bytes: 1.3 * GB, rowMs: 8, cuts: [1, 2] },
    { reach: 0.12, bytes: 5 * GB, rowMs: 35, cuts: [1, 2, 4] },
    { reach: 0.03, bytes: 26 * GB, rowMs: 180, cuts: [2, 4, 6, 8, 12] },
  ],
  6: [
    { reach: 1, bytes: 0.1 * GB, rowMs: 0.8, cuts: [1] },
    { reach: 0.6, bytes: 0.35 * GB, rowMs: 2, cuts: [1] },
    { reach: 0.35, bytes: 1.3 * GB, rowMs: 8, cuts: [1, 2] },
    { reach: 0.15, bytes: 3 * GB, rowMs: 20, cuts: [1, 2, 4] },
    { reach: 0.08, bytes: 8 * GB, rowMs: 60, cuts: [1, 2, 4, 8] },
    { reach: 0.03, bytes: 26 * GB, rowMs: 180, cuts: [2, 4, 6, 8, 10, 12] },
  ],
};

/** Speed against the fastest, memory and watts; more classes are these with other memory and speed. */
const CLASSES = [
  { name: "a80", speed: 1, bytes: 80 * GB, idle: 60, active: 300 },
  { name: "b24", speed: 0.45, bytes: 24 * GB, idle: 25, active: 130 },
  { name: "cpu", speed: 0.04, bytes: 64 * GB, idle: 20, active: 90 },
] as const;

const CASES: readonly (readonly [levels: number, classes: number, devices: number, objective: PlanObjective])[] = [
  [4, 1, 8, "throughput"],
  [4, 1, 64, "throughput"],
  [4, 3, 64, "throughput"],
  [4, 3, 64, "energy"],
  [4, 3, 512, "throughput"],
  [4, 3, 512, "energy"],
  [4, 1, 10_000, "throughput"],
  [4, 1, 10_000, "energy"],
  [4, 3, 10_000, "throughput"],
  [4, 3, 10_000, "energy"],
  [6, 3, 10_000, "throughput"],
  [6, 3, 10_000, "energy"],
  [6, 12, 10_000, "throughput"],
  [6, 12, 10_000, "energy"],
];

const table = [
  [
    "levels",
    "classes",
    "devices",
    "objective",
    "seconds",
    "solver s",
    "algorithm",
    "value",
    "gap %",
    "latency ms",
    "used",
  ],
];
const solver = new HighsSolver();
let isTooSlow = false;
try {
  for (const [levels, classes, count, objective] of CASES) {
    const problem = makeProblem(levels, classes, count, objective);
    const startedMs = performance.now();
    const result = await place(withMenu(problem), solver);
    const reasons = result.kind === "placed" ? explainPlacement(problem, result).binding : result.reasons;
    const seconds = (performance.now() - startedMs) / 1000;
    isTooSlow ||= seconds > MOST_SECONDS;
    const row = [String(levels), String(classes), count.toLocaleString("en-GB"), objective, digits(seconds)];
    if (result.kind === "infeasible") {
      table.push([...row, "", "infeasible", reasons[0] ?? "", "", "", ""]);
      continue;
    }
    const value = objective === "throughput" ? `${digits(result.rate)} req/s` : `${digits(result.watts ?? 0)} W`;
    table.push([
      ...row,
      digits(result.solverMs / 1000) + (result.isTimeLimited ? " (limit)" : ""),
      result.algorithm,
      value,
      digits(100 * result.optimalityGap),
      digits(result.latencyMs),
      String(new Set(result.fleet.replicas.map((replica) => replica.device)).size),
    ]);
  }
} finally {
  await solver.close();
}
console.log(alignColumns(table));
if (isTooSlow) process.exitCode = 1;

function makeProblem(levels: number, classCount: number, count: number, objective: PlanObjective): PlacementProblem {
  const kinds = Array.from({ length: classCount }, (_, c) => {
    const base = CLASSES[c % CLASSES.length] ?? CLASSES[0];
    const generation = Math.floor(c / CLASSES.length);
    const scale = 1 - 0.15 * generation;
    return { ...base, name: `${base.name}-${generation}`, speed: base.speed * scale, bytes: base.bytes * scale };
  });
  const classes = kinds.map(
    ({ name, bytes, idle, active }): DeviceClass => ({
      name,
      kind: "cuda",
      memoryBytes: bytes,
      watts: { bare: idle / 2, idle, active, source: "bench" },
    }),
  );
  return {
    objective,
    levels: (LEVELS[levels] ?? []).map((size, k) => levelOf(`m${k}`, size, kinds)),
    classes,
    devices: kinds.flatMap(({ name }, c) => devicesOf(name, Math.floor((count + classCount - 1 - c) / classCount))),
    links: { sameNode: { bytesPerMs: 2e7, latencyMs: 0.1 }, betweenNodes: { bytesPerMs: 1.25e6, latencyMs: 0.2 } },
    // About half of what the fleet can carry, so that energy has something to choose.
    rate: (count / classCount) * 12,
    rowsPerRequest: 1,
    arrivalCv: 1,
    slo: SLO,
    utilisationCap: 0.8,
    memoryShare: 0.9,
    unusedDevices: "off",
    relativeGap: 0.01,
  };
}

function levelOf(
  model: string,
  { reach, bytes, rowMs, cuts }: LevelSize,
  kinds: readonly { readonly name: string; readonly speed: number }[],
): PlacedLevel {
  const options = cuts.flatMap((stages) =>
    BATCHES.map((rows): LevelOption => {
      const own = Array.from({ length: stages }, (_, s): Stage => {
        // Uneven cuts, 3 % more work a cut; a batch shares the fixed part of a run.
        const share = ((1 + 0.1 * Math.sin(s)) / stages) * (1 + 0.03 * (stages - 1));
        const runMs = (size: number) => rowMs * share * (0.4 + 0.6 * size ** 0.85);
        return {
          id: `${model}.${stages}.${s}`,
          memoryBytes: new Map(kinds.map(({ name }) => [name, bytes / stages + rows * 2e7])),
          service: new Map(
            kinds.map(({ name, speed }) => [
              name,
              { batchSizes: BATCHES, samplesMs: BATCHES.map((size) => [runMs(size) / speed]) },
            ]),
          ),
          energyJ: new Map(),
          outputBytesPerRow: 4e5,
        };
      });
      const batch = { maxBatchSize: rows, preferredBatchSizes: [], maxQueueDelayMs: 20, preserveOrdering: false };
      return { stages: own, batch, meanRows: rows };
    }),
  );
  return { model, reach, countsForLatency: countsForLatency(reach, SLO.percentile), copies: 1, options };
}

/** Eight devices a node. */
function devicesOf(className: string, count: number): Device[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `${className}-${i}`,
    class: className,
    node: `${className}-node${i >> 3}`,
    failureGroup: `${className}-node${i >> 3}`,
    cpus: "",
    ordinal: i & 7,
  }));
}
