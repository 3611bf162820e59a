/**
 * `node bench/profile.ts [--quick] [--rounds N]`: service times that `hybridserve profile` predicts against those that the server's
 * instances then take under load, for the demo's largest level alone and for the levels of its cascade. Every instance is a
 * process pinned to the last core, in the profile and in service. Batches are as the server made them: each is predicted
 * by its own size. Prints markdown.
 */
import { execFile } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { Client, credentials } from "@grpc/grpc-js";
import { meanServiceMs, type ServiceTimes } from "../planner/fleet.ts";
import { readProfileFile } from "../proto/files/profile-file.ts";
import { loadServices } from "../proto/load.ts";
import { CASCADE, certifyImages, imageRequests, writeCascadeRepository } from "./cascade-repository.ts";
import { CascadeServer } from "./cascade-server.ts";
import { CHECKOUT, describeEnvironment } from "./environment.ts";
import { disturbance } from "./report.ts";
import { DEMO_FOLDER, DEMO_LEVELS } from "./repository.ts";
import { median } from "./statistics.ts";

interface Timing {
  readonly rounds: number;
  readonly samples: number;
  readonly warmupMs: number;
  readonly measureMs: number;
}

const FULL: Timing = { rounds: 5, samples: 300, warmupMs: 500, measureMs: 6000 };
const QUICK: Timing = { rounds: 1, samples: 60, warmupMs: 300, measureMs: 1500 };

/** The core that instances have to themselves, as far as the system lets them. */
const CORE = String(availableParallelism() - 1);
/** Different requests of a case. */
const MESSAGES = 500;
const IN_FLIGHT = 4;
const LAST = DEMO_LEVELS[DEMO_LEVELS.length - 1] ?? "";

/** One way to load the server. */
interface Case {
  readonly model: string;
  /** Rows of a request. */
  readonly rows: number;
  /** Share of the time that the instance is to be busy, by the profile. */
  readonly load: number;
}

/** The cascade's levels share the core: little load, for the times are to be those of single runs. */
const CASES: readonly Case[] = [
  { model: LAST, rows: 1, load: 0.2 },
  { model: LAST, rows: 1, load: 0.5 },
  { model: LAST, rows: 8, load: 0.5 },
  { model: LAST, rows: 32, load: 0.5 },
  { model: CASCADE, rows: 1, load: 0.2 },
  { model: CASCADE, rows: 8, load: 0.2 },
];

/** Executions of a model by batch size, and the milliseconds they took together. */
interface Executed {
  readonly batchSize: number;
  readonly count: number;
  readonly totalMs: number;
}

/** What one case measured: by model, milliseconds of all executions together. */
interface Outcome {
  readonly executions: number;
  readonly rows: number;
  readonly measuredMs: number;
  readonly predictedMs: number;
}

type Profile = ReadonlyMap<string, ServiceTimes>;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false }, rounds: { type: "string" } } });
  const chosen = values.quick ? QUICK : FULL;
  const timing = { ...chosen, rounds: Number(values.rounds ?? chosen.rounds) };
  const { machine, versions } = describeEnvironment([]);
  console.log(`${machine.cpu}, ${machine.cores} cores, node ${versions["node"]}, ${timing.rounds} rounds, medians\n`);
  const outcomes = new Map<string, Outcome[]>();
  const otherCores: number[] = [];
  for (let round = 0; round < timing.rounds; round++) {
    const profile = await profileLevels(timing.samples);
    await serveCases(profile, timing, outcomes, otherCores);
  }
  console.log(
    "| load | model | executions | mean batch | measured ms | predicted ms | error |\n|---|---|---|---|---|---|---|",
  );
  for (const [name, all] of outcomes) {
    const of = (value: (outcome: Outcome) => number) => median(all.map(value));
    const error = of(({ measuredMs, predictedMs }) => predictedMs / measuredMs - 1);
    const cells = [
      of(({ executions }) => executions).toFixed(0),
      of(({ rows, executions }) => rows / executions).toFixed(2),
      of(({ measuredMs, executions }) => measuredMs / executions).toFixed(3),
      of(({ predictedMs, executions }) => predictedMs / executions).toFixed(3),
      `${(100 * error).toFixed(1)} %`,
    ];
    console.log(`| ${name} | ${cells.join(" | ")} |`);
  }
  console.log(`\n${disturbance(otherCores)}`);
}

/** The command as a user runs it. */
async function profileLevels(samples: number): Promise<Profile> {
  const folder = mkdtempSync(join(tmpdir(), "hybridserve-bench-"));
  try {
    const devices = join(folder, "devices.json");
    const output = join(folder, "profile.json");
    const classes = [{ name: "core", kind: "cpu", memoryBytes: 2 ** 32 }];
    writeFileSync(
      devices,
      JSON.stringify({ formatVersion: 1, classes, devices: [{ id: "core", class: "core", cpus: CORE }] }),
    );
    await promisify(execFile)(process.execPath, [
      join(CHECKOUT, "bin/hybridserve.js"),
      ...["profile", "--model-repository", join(DEMO_FOLDER, "models"), "--devices", devices, "--output", output],
      ...DEMO_LEVELS.flatMap((model) => ["--model", model]),
      ...["--samples", String(samples), "--cache", "", "--no-graph"],
    ]);
    const { models } = readProfileFile(readFileSync(output, "utf8"), output);
    return new Map(
      models.map(({ name, classes: [here] }) => {
        const batches = here?.batches ?? [];
        const batchSizes = batches.map(({ batchSize }) => batchSize);
        return [name, { batchSizes, samplesMs: batches.map(({ serviceMs }) => serviceMs) }];
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function serveCases(
  profile: Profile,
  timing: Timing,
  outcomes: Map<string, Outcome[]>,
  otherCores: number[],
): Promise<void> {
  const images = certifyImages();
  const server = await CascadeServer.start(writePinned);
  const statistics = new StatisticsClient(server.grpcPort);
  try {
    for (const { model, rows, load } of CASES) {
      const rowMs = meanServiceMs(timesOf(profile, LAST), rows);
      const ratePerSecond = (1000 * load) / rowMs;
      const workload = `${model} ${rows}`;
      await server.add(workload, imageRequests(images, model, rows).slice(0, MESSAGES));
      // The server's code is compiled as it is used: what follows is not to be its first requests.
      await server.answers(workload, IN_FLIGHT);
      const before = await statistics.read();
      const result = await server.measure(
        workload,
        { concurrency: 1, ratePerSecond },
        timing.warmupMs,
        timing.measureMs,
      );
      const after = await statistics.read();
      otherCores.push(result.otherCores ?? 0);
      for (const [name, executed] of between(before, after)) {
        const key = `${model}, ${rows} rows a request, ${ratePerSecond.toFixed(0)} requests/s | ${name}`;
        const label = key.replace(/, \d+ requests\/s/, `, load ${load}`);
        outcomes.set(label, [...(outcomes.get(label) ?? []), outcomeOf(executed, timesOf(profile, name))]);
      }
    }
  } finally {
    statistics.close();
    await server.close();
  }
}

/** The demo, every level in a process on the core that was measured. */
function writePinned(repository: string): void {
  writeCascadeRepository(repository);
  const parameter = (key: string, value: string) => `parameters { key: "${key}" value { string_value: "${value}" } }\n`;
  for (const model of DEMO_LEVELS) {
    appendFileSync(
      join(repository, model, "config.pbtxt"),
      parameter("isolation", "process") + parameter("cpus", CORE),
    );
  }
}

function timesOf(profile: Profile, model: string): ServiceTimes {
  const times = profile.get(model);
  if (times === undefined) throw new Error(`${model} was not profiled`);
  return times;
}

function outcomeOf(executed: readonly Executed[], times: ServiceTimes): Outcome {
  const sum = (value: (each: Executed) => number) => executed.reduce((total, each) => total + value(each), 0);
  return {
    executions: sum(({ count }) => count),
    rows: sum(({ count, batchSize }) => count * batchSize),
    measuredMs: sum(({ totalMs }) => totalMs),
    predictedMs: sum(({ count, batchSize }) => count * meanServiceMs(times, batchSize)),
  };
}

type Statistics = ReadonlyMap<string, ReadonlyMap<number, Executed>>;

function between(before: Statistics, after: Statistics): Map<string, Executed[]> {
  const grown = new Map<string, Executed[]>();
  for (const [model, sizes] of after) {
    if (!(DEMO_LEVELS as readonly string[]).includes(model)) continue;
    const executed = [...sizes.values()].flatMap((each) => {
      const start = before.get(model)?.get(each.batchSize) ?? { count: 0, totalMs: 0 };
      const count = each.count - start.count;
      return count === 0 ? [] : [{ batchSize: each.batchSize, count, totalMs: each.totalMs - start.totalMs }];
    });
    if (executed.length > 0) grown.set(model, executed);
  }
  return grown;
}

/** As the protocol's services hand it out: 64-bit integers are texts. */
interface WireStatistics {
  readonly model_stats: readonly {
    readonly name: string;
    readonly batch_stats: readonly {
      readonly batch_size: string;
      readonly compute_input: WireDuration;
      readonly compute_infer: WireDuration;
      readonly compute_output: WireDuration;
    }[];
  }[];
}

interface WireDuration {
  readonly count: string;
  readonly ns: string;
}

class StatisticsClient {
  readonly #client: Client;
  readonly #method = loadServices().inference["ModelStatistics"];

  constructor(port: number) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  }

  async read(): Promise<Statistics> {
    const method = this.#method;
    if (method === undefined) throw new Error("the protocol has no ModelStatistics");
    const answer = await new Promise<WireStatistics>((resolve, reject) => {
      this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        { name: "", version: "" },
        (error, response) => (error === null ? resolve(response as WireStatistics) : reject(error)),
      );
    });
    return new Map(
      answer.model_stats.map((model) => [
        model.name,
        new Map(
          model.batch_stats.map((batch) => {
            const { compute_input: input, compute_infer: infer, compute_output: output } = batch;
            const totalMs = (Number(input.ns) + Number(infer.ns) + Number(output.ns)) / 1e6;
            const batchSize = Number(batch.batch_size);
            return [batchSize, { batchSize, count: Number(infer.count), totalMs }];
          }),
        ),
      ]),
    );
  }

  close(): void {
    this.#client.close();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
