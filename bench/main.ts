/** `npm run bench`: the server, beside a bare echo and bare onnxruntime, over all workloads and concurrencies. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Bench, ECHO, type Measurement } from "./bench.ts";
import { CHECKOUT, describeEnvironment } from "./environment.ts";
import { HELP, type Options, parseOptions } from "./options.ts";
import { type BenchReport, disturbance, type Sample, summarise, toComparison, toTable } from "./report.ts";

const THIS = "hybridserve";
const OTHER = "other";

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    console.log(HELP);
    return;
  }
  const servers = [{ name: THIS, checkout: CHECKOUT }];
  if (options.compare !== undefined) servers.push({ name: OTHER, checkout: resolve(options.compare) });
  const nodeFlags = options.cpuProf === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${resolve(options.cpuProf)}`];
  const environment = describeEnvironment(servers);
  const bench = await Bench.open({ servers, only: options.only, connections: options.connections, nodeFlags });
  process.once("SIGINT", () => process.exit(130));
  process.once("SIGTERM", () => process.exit(143));
  let samples: Sample[];
  try {
    samples = await measureAll(
      bench,
      servers.map((server) => server.name),
      options,
    );
  } finally {
    await bench.close();
  }
  const report: BenchReport = {
    formatVersion: 1,
    environment,
    connections: options.connections,
    measureMs: options.measureMs,
    rounds: options.rounds,
    points: summarise(samples),
    samples,
  };
  const file = store(report);
  if (options.json) {
    console.log(JSON.stringify(report, undefined, 2));
    return;
  }
  const { machine, versions, commits } = environment;
  console.log(
    `\n${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB, ${machine.system}, node ${versions["node"]}`,
  );
  console.log(
    `commit ${commits[THIS]}, ${options.rounds} rounds of ${options.measureMs / 1000} s, medians, CPU per request`,
  );
  console.log(`${disturbance(samples.map((sample) => sample.otherCores ?? 0))}\n`);
  console.log(toTable(report.points, ECHO));
  if (options.compare !== undefined) console.log(`\n${toComparison(report.points, THIS, OTHER)}`);
  console.log(`\nstored in ${file}`);
}

/** Every round visits every point, and at every point every subject, in alternating order. */
async function measureAll(bench: Bench, servers: readonly string[], options: Options): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < options.rounds; round++) {
    const subjects = round % 2 === 0 ? [...servers, ECHO] : [ECHO, ...servers.toReversed()];
    for (const workload of bench.workloads) {
      process.stderr.write(`round ${round + 1}/${options.rounds} ${workload.name}:`);
      for (const concurrency of options.concurrencies) {
        process.stderr.write(` ${concurrency}`);
        for (const subject of subjects) {
          const measured = await bench.measure(subject, workload, concurrency, options.warmupMs, options.measureMs);
          const computeUs = await bench.computeFloorUs(workload, measured.served, options.computeMs);
          samples.push(toSample(measured, { subject, round, workload: workload.name, concurrency, computeUs }));
        }
      }
      process.stderr.write("\n");
    }
  }
  return samples;
}

type SampleKey = Pick<Sample, "subject" | "round" | "workload" | "concurrency" | "computeUs">;

function toSample(measured: Measurement, key: SampleKey): Sample {
  const batchSizes = [...measured.served].map(([model, { rows, executions }]) => [model, rows / executions]);
  return {
    ...key,
    requestsPerSecond: measured.requestsPerSecond,
    p50Ms: measured.p50Ms,
    p95Ms: measured.p95Ms,
    p99Ms: measured.p99Ms,
    serverCpuUs: measured.serverCpuUs,
    clientCpuUs: measured.clientCpuUs,
    rssMb: measured.rssMb,
    batchSizes: Object.fromEntries(batchSizes),
    otherCores: measured.otherCores,
    stealCores: measured.stealCores,
  };
}

function store(report: BenchReport): string {
  const folder = join(CHECKOUT, "bench/results");
  mkdirSync(folder, { recursive: true });
  const stamp = report.environment.date.slice(0, 19).replaceAll(":", "-");
  const file = join(folder, `${stamp}-${report.environment.commits[THIS]}.json`);
  writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`);
  return file;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
