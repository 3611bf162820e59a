/**
 * `npm run bench:agreement [-- --quick]`: how well the simulator agrees with the real server on recorded arrivals.
 * docs/benchmarks.md says what the figures mean. Prints markdown.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { CascadeFile } from "../proto/files/cascade-file.ts";
import { CASCADE, certifyImages, imageRequests, writeCascadeRepository } from "./cascade-repository.ts";
import { Child } from "./child.ts";
import { CHECKOUT, describeEnvironment } from "./environment.ts";
import {
  type Agreement,
  type AgreementCase,
  type AgreementTiming,
  checkNoSkips,
  measureAgreement,
  type Replay,
  waysOfAnswers,
  waysUpTo,
} from "./measure-agreement.ts";
import type { ReplayCommand, ReplayReply } from "./replay-protocol.ts";
import { digits } from "./report.ts";
import { ServerProcess } from "./server-process.ts";
import { StatisticsClient } from "./service-means.ts";
import { TIMED_CASCADE, TIMED_LEVELS, TIMED_MODEL, timedRequests, writeTimedRepository } from "./timed-repository.ts";

/** Of the demo's configurations. */
const DEMO_MAX_BATCH = 64;
const FULL: AgreementTiming = { replayMs: 30_000, saturationRequests: 2000 };
const QUICK: AgreementTiming = { replayMs: 4000, saturationRequests: 400 };

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  const { machine, versions } = describeEnvironment([]);
  console.log(`${machine.cpu}, ${machine.cores} cores, node ${versions["node"]}\n`);
  await compareWithServer(values.quick ? QUICK : FULL);
}

async function compareWithServer(timing: AgreementTiming): Promise<void> {
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
      levels: [{ ...TIMED_MODEL, messages: alone.messages }],
      messages: alone.messages,
      rowsPerRequest: 1,
      ways: Uint32Array.of(1),
    },
    {
      name: "timed cascade of 3 levels",
      levels: TIMED_LEVELS.map((level) => ({ ...level, messages: timedRequests(level.name).messages })),
      messages: cascade.messages,
      rowsPerRequest: 1,
      ways: waysUpTo(cascade.exits),
    },
  ];
}

async function demoCases(file: CascadeFile, replay: Replay): Promise<AgreementCase[]> {
  checkNoSkips(file);
  const images = certifyImages();
  const levels = file.levels.map(({ model }) => ({
    name: model,
    instances: 1,
    maxBatch: DEMO_MAX_BATCH,
    messages: imageRequests(images, model, 8),
  }));
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

const AGREEMENT_HEAD = `| case | load | requests | goodput measured / simulated | off, points | mean ms | off | p95 ms | off |
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
