/**
 * `npm run bench:simulate [-- --quick]`: how many requests the simulator plays in a second of one core. docs/benchmarks.md
 * says what the figures mean. Prints markdown.
 */
import { parseArgs } from "node:util";
import type { Fleet } from "../planner/fleet.ts";
import { saturationRate } from "../planner/simulate/saturation.ts";
import { simulate } from "../planner/simulate/simulate.ts";
import { describeEnvironment } from "./environment.ts";
import { median } from "./statistics.ts";

const REPLICAS = [24, 384, 12_000];
const LOAD = 0.7;
const PATHS = [
  [0.6, 0.3, 0.1],
  [0, 0.6, 0.4],
  [0, 0, 1],
];
const REACH = [1, 0.3, 0.22];

interface Timing {
  readonly requests: number;
  readonly rounds: number;
}

const FULL: Timing = { requests: 1_000_000, rounds: 5 };
const QUICK: Timing = { requests: 200_000, rounds: 1 };

function main(): void {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  const { machine, versions } = describeEnvironment([]);
  console.log(`${machine.cpu}, ${machine.cores} cores, node ${versions["node"]}\n`);
  measureSpeed(values.quick ? QUICK : FULL);
}

function measureSpeed({ requests, rounds }: Timing): void {
  console.log("## Speed on one core, by CPU time\n");
  console.log("| replicas | requests simulated/s | mean batch by level |");
  console.log("|---|---|---|");
  for (const count of REPLICAS) {
    const fleet = dedicatedFleet(count);
    const rates: number[] = [];
    let batches = "";
    for (let round = 0; round < rounds; round++) {
      const start = process.cpuUsage();
      const result = simulate(
        fleet,
        {
          ratePerSecond: LOAD * saturationRate(fleet, REACH, 1),
          arrivals: { process: "poisson" },
          rowsPerRequest: 1,
          sloMs: 100,
          routing: { kind: "paths", paths: PATHS },
          shadowShare: 0,
        },
        { requests },
      );
      // CPU time, not the clock's: what else runs on the machine does not count.
      const { user, system } = process.cpuUsage(start);
      rates.push((1e6 * requests) / (user + system));
      batches = result.levels.map(({ meanBatch }) => meanBatch.toFixed(1)).join(", ");
    }
    console.log(`| ${count.toLocaleString("en")} | ${(median(rates) / 1e6).toFixed(2)} million | ${batches} |`);
  }
  console.log("");
}

/** Three levels, replicas by their work; three samples of each service time. */
function dedicatedFleet(count: number): Fleet {
  const times = [5, 15, 20];
  const work = times.map((ms, k) => ms * (REACH[k] ?? 0));
  const all = work.reduce((sum, one) => sum + one, 0);
  const counts = work.map((one) => Math.max(1, Math.floor((count * one) / all)));
  counts[0] = count - (counts[1] ?? 0) - (counts[2] ?? 0);
  const link = { bytesPerMs: 1e6, latencyMs: 0.1 };
  let device = 0;
  return {
    classes: [{ name: "d", kind: "cpu", memoryBytes: 1, watts: { bare: 1, idle: 2, active: 10, source: "bench" } }],
    devices: Array.from({ length: count }, (_, i) => ({
      id: `d${i}`,
      class: "d",
      node: "n",
      failureGroup: "n",
      cpus: "",
      ordinal: -1,
    })),
    links: { sameNode: link, betweenNodes: link },
    levels: times.map((ms, k) => ({
      model: `level-${k}`,
      batch: { maxBatchSize: 8, preferredBatchSizes: [8], maxQueueDelayMs: 2, preserveOrdering: false },
      stages: [
        {
          id: `level-${k}`,
          memoryBytes: new Map(),
          service: new Map([["d", { batchSizes: [1, 8], samplesMs: [spread(ms), spread(2 * ms)] }]]),
          energyJ: new Map(),
          outputBytesPerRow: 0,
        },
      ],
    })),
    replicas: counts.flatMap((copies, level) =>
      Array.from({ length: copies }, () => ({ level, stage: 0, device: device++, share: 1 / copies })),
    ),
  };
}

function spread(ms: number): number[] {
  return [0.9 * ms, ms, 1.1 * ms];
}

main();
