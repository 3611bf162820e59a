/**
 * `npm run bench:simulate [-- --quick | --speed | --agreement]`: how fast the simulator is, and how well it agrees with
 * the real server on recorded arrivals. docs/benchmarks.md says what the figures mean. Prints markdown.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Fleet } from "../planner/fleet.ts";
import { saturationRate } from "../planner/simulate/saturation.ts";
import { simulate } from "../planner/simulate/simulate.ts";
import type { CascadeFile } from "../proto/files/cascade-file.ts";
import {
  type Agreement,
  type AgreementCase,
  checkNoSkips,
  measureAgreement,
  type Replay,
  waysOfAnswers,
  waysUpTo,
} from "./agreement.ts";
import { CASCADE, certifyImages, imageRequests, writeCascadeRepository } from "./cascade-repository.ts";
import { Child } from "./child.ts";
import { CHECKOUT, describeEnvironment } from "./environment.ts";
import type { ReplayCommand, ReplayReply } from "./replay-protocol.ts";
import { digits } from "./report.ts";
import { ServerProcess } from "./server-process.ts";
import { StatisticsClient } from "./service-means.ts";
import { median } from "./statistics.ts";
import { TIMED_CASCADE, TIMED_LEVELS, TIMED_MODEL, timedRequests, writeTimedRepository } from "./timed-repository.ts";

const REPLICAS = [24, 384, 12_000];
const LOAD = 0.7;
/** Of the demo's configurations. */
const DEMO_MAX_BATCH = 64;
const PATHS = [
  [0.6, 0.3, 0.1],
  [0, 0.6, 0.4],
  [0, 0, 1],
];
const REACH = [1, 0.3, 0.22];

interface Timing {
  readonly speedRequests: number;
  readonly rounds: number;
  readonly replayMs: number;
  readonly saturationRequests: number;
}

const FULL: Timing = { speedRequests: 1_000_000, rounds: 3, replayMs: 30_000, saturationRequests: 2000 };
const QUICK: Timing = { speedRequests: 200_000, rounds: 1, replayMs: 4000, saturationRequests: 400 };

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      speed: { type: "boolean", default: false },
      agreement: { type: "boolean", default: false },
    },
  });
  const timing = values.quick ? QUICK : FULL;
  const { machine, versions } = describeEnvironment([]);
  console.log(`${machine.cpu}, ${machine.cores} cores, node ${versions["node"]}\n`);
  const isAll = !values.speed && !values.agreement;
  if (values.speed || isAll) measureSpeed(timing);
  if (values.agreement || isAll) await compareWithServer(timing);
}

function measureSpeed({ speedRequests, rounds }: Timing): void {
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
        { requests: speedRequests },
      );
      // CPU time, not the clock's: what else runs on the machine does not count.
      const { user, system } = process.cpuUsage(start);
      rates.push((1e6 * speedRequests) / (user + system));
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

async function compareWithServer(timing: Timing): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "hybridserve-bench-"));
  const repository = join(folder, "models");
  const file = writeCascadeRepository(repository);
  writeTimedRepository(repository);
  checkNoSkips(file);
  const client = new Child<ReplayCommand, ReplayReply>("replay-client.ts");
  let server: ServerProcess | undefined;
  let statistics: StatisticsClient | undefined;
  try {
    server = await ServerProcess.start({
      name: "agreement",
      checkout: CHECKOUT,
      repository,
      logFolder: folder,
      nodeFlags: [],
    });
    const port = server.grpcPort;
    statistics = new StatisticsClient(port);
    const replay: Replay = async (command) => {
      const reply = await client.request({ kind: "replay", port, ...command });
      if (reply.kind !== "replayed") throw new Error(reply.text);
      return reply;
    };
    const results: Agreement[] = [];
    console.log(AGREEMENT_HEAD);
    for (const one of [...timedCases(), ...(await demoCases(file, replay))]) {
      process.stderr.write(`${one.name}\n`);
      const own = await measureAgreement(one, replay, statistics, timing);
      for (const result of own) console.log(agreementRow(result));
      results.push(...own);
    }
    printSummary(results);
  } finally {
    client.close();
    statistics?.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Levels that wait and compute nothing: what is compared is queueing and batching alone. */
function timedCases(): AgreementCase[] {
  const alone = timedRequests(TIMED_MODEL.name);
  const cascade = timedRequests(TIMED_CASCADE);
  return [
    {
      name: "timed model, 2 instances",
      levels: [TIMED_MODEL],
      messages: alone.messages,
      rowsPerRequest: 1,
      ways: Uint32Array.of(1),
    },
    {
      name: "timed cascade of 3 levels",
      levels: TIMED_LEVELS,
      messages: cascade.messages,
      rowsPerRequest: 1,
      ways: waysUpTo(cascade.exits),
    },
  ];
}

async function demoCases(file: CascadeFile, replay: Replay): Promise<AgreementCase[]> {
  checkNoSkips(file);
  const images = certifyImages();
  const levels = file.levels.map(({ model }) => ({ name: model, instances: 1, maxBatch: DEMO_MAX_BATCH }));
  const last = levels.slice(-1);
  const [{ name: model = "" } = {}] = last;
  const asked = imageRequests(images, CASCADE, 8);
  return [
    ...[8, 1].map((rowsPerRequest) => ({
      name: `${model}, ${rowsPerRequest === 1 ? "1 image" : `${rowsPerRequest} images`} a request`,
      levels: last,
      messages: imageRequests(images, model, rowsPerRequest),
      rowsPerRequest,
      ways: Uint32Array.of(1),
    })),
    {
      name: "demo cascade, 8 images a request",
      levels,
      messages: asked,
      rowsPerRequest: 8,
      ways: await waysOfAnswers(replay, asked),
    },
  ];
}

const AGREEMENT_HEAD = `## Agreement with the server on recorded arrivals

| case | load | requests | goodput measured / simulated | off, points | mean ms | off | p95 ms | off |
|---|---|---|---|---|---|---|---|---|`;

function agreementRow({ case: name, load, requests, measured, simulated }: Agreement): string {
  const cells = [
    name,
    `${Math.round(100 * load)} %`,
    requests,
    `${(100 * measured.goodput).toFixed(1)} / ${(100 * simulated.goodput).toFixed(1)} %`,
    (100 * (simulated.goodput - measured.goodput)).toFixed(2),
    `${digits(measured.meanMs)} / ${digits(simulated.meanMs)}`,
    off(simulated.meanMs, measured.meanMs),
    `${digits(measured.p95Ms)} / ${digits(simulated.p95Ms)}`,
    off(simulated.p95Ms, measured.p95Ms),
  ];
  return `| ${cells.join(" | ")} |`;
}

function printSummary(results: readonly Agreement[]): void {
  const points = results.map(({ measured, simulated }) => 100 * Math.abs(simulated.goodput - measured.goodput));
  const mean = points.reduce((sum, one) => sum + one, 0) / points.length;
  console.log(`\nGoodput is off by ${mean.toFixed(2)} points on average, ${Math.max(...points).toFixed(2)} at most.`);
  const load = loadavg()[0]?.toFixed(1);
  console.log(`Load average at the end ${load}: above 2 or so the figures are the machine's, not the simulator's.`);
}

function off(simulated: number, measured: number): string {
  const share = 100 * (simulated / measured - 1);
  return `${share >= 0 ? "+" : ""}${share.toFixed(1)} %`;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
