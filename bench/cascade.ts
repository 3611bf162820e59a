/**
 * `npm run bench:cascade [-- --quick | --engine]`: the demo cascade against its last level alone, on the same server with the same
 * batching under the same load, interleaved; then what the cascade engine costs by itself. docs/benchmarks.md says what
 * the figures mean. Prints markdown.
 */
import { parseArgs } from "node:util";
import type { InferenceResponse } from "../proto/inference.ts";
import {
  CASCADE,
  certifyImages,
  EMPTY_CASCADE,
  EMPTY_LEVELS,
  emptyRequest,
  imageRequests,
  type LabelledImages,
  writeCascadeRepository,
  writeEmptyCascade,
} from "./cascade-repository.ts";
import { CascadeServer } from "./cascade-server.ts";
import { describeEnvironment } from "./environment.ts";
import type { LoadResult } from "./load-protocol.ts";
import { digits, disturbance } from "./report.ts";
import { median } from "./statistics.ts";

const BATCHES = [1, 8, 32];
const IN_FLIGHT = 32;
const LAST_ONLY = "last-level-only";

interface Timing {
  readonly rounds: number;
  readonly warmupMs: number;
  readonly measureMs: number;
  /** Open loops are measured longer: the 99th percentile needs requests. */
  readonly openMs: number;
  /** A window of the engine by itself, of which there are twice as many rounds. */
  readonly engineMs: number;
}

const FULL: Timing = { rounds: 3, warmupMs: 300, measureMs: 1500, openMs: 2000, engineMs: 700 };
const QUICK: Timing = { rounds: 1, warmupMs: 200, measureMs: 500, openMs: 800, engineMs: 300 };

/** One way to ask for the images, and what was measured of it. */
interface Subject {
  readonly name: string;
  readonly batch: number;
  readonly workload: string;
  readonly closed: LoadResult[];
  /** At half of what the last level alone, asked directly, takes at saturation. */
  readonly half: LoadResult[];
  /** At half of its own saturation. */
  readonly ownHalf: LoadResult[];
}

/** What the answers say. */
interface Verdict {
  readonly accuracy: number;
  /** Shares of rows answered by the last level, and of requests that waited for it. */
  readonly lastRows: number;
  readonly lastRequests: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { quick: { type: "boolean", default: false }, engine: { type: "boolean", default: false } },
  });
  const timing = values.quick ? QUICK : FULL;
  const { machine, versions } = describeEnvironment([]);
  console.log(`${machine.cpu}, ${machine.cores} cores, node ${versions["node"]}, ${timing.rounds} rounds, medians\n`);
  if (!values.engine) await compareWithLastLevel(timing);
  await measureEngine(timing);
}

async function compareWithLastLevel(timing: Timing): Promise<void> {
  const images = certifyImages();
  let last = "";
  let hasLastOnly = false;
  const server = await CascadeServer.start((repository) => {
    const file = writeCascadeRepository(repository);
    last = file.levels.at(-1)?.model ?? "";
    hasLastOnly = file.operatingPoints.some((point) => point.name === LAST_ONLY);
  });
  try {
    const subjects: Subject[] = [];
    const verdicts = new Map<Subject, Verdict>();
    let point = "";
    for (const batch of BATCHES) {
      const ways = [
        { name: `${last} directly`, messages: imageRequests(images, last, batch) },
        { name: "cascade", messages: imageRequests(images, CASCADE, batch) },
        ...(hasLastOnly
          ? [{ name: `cascade, ${LAST_ONLY}`, messages: imageRequests(images, CASCADE, batch, LAST_ONLY) }]
          : []),
      ];
      for (const { name, messages } of ways) {
        const subject = { name, batch, workload: `${name} ${batch}`, closed: [], half: [], ownHalf: [] };
        await server.add(subject.workload, messages);
        const answers = await server.answers(subject.workload, IN_FLIGHT);
        verdicts.set(subject, judge(answers, images));
        if (name === "cascade") point = pointOf(answers);
        subjects.push(subject);
      }
    }
    for (let round = 0; round < timing.rounds; round++) await measureRound(server, subjects, timing, round);
    for (const { name, workload } of subjects) {
      const now = name === "cascade" ? pointOf(await server.answers(workload, IN_FLIGHT)) : point;
      if (now !== point) throw new Error(`the operating point changed from ${point} to ${now}: the figures mix both`);
    }
    console.log(`## Cascade against its last level\n\nOperating point served: ${point}; ${images.count} images.\n`);
    printSubjects(subjects, verdicts);
  } finally {
    await server.close();
  }
}

/** Everything once; every other round in reverse. */
async function measureRound(
  server: CascadeServer,
  all: readonly Subject[],
  timing: Timing,
  round: number,
): Promise<void> {
  const subjects = round % 2 === 0 ? all : all.toReversed();
  for (const { workload, closed } of subjects) {
    process.stderr.write(`round ${round + 1}/${timing.rounds} ${workload}\n`);
    closed.push(await server.measure(workload, { concurrency: IN_FLIGHT }, timing.warmupMs, timing.measureMs));
  }
  for (const subject of subjects) {
    const direct = all.find(({ batch }) => batch === subject.batch) ?? subject;
    for (const [of, results] of [
      [direct, subject.half],
      [subject, subject.ownHalf],
    ] as const) {
      const ratePerSecond = median(of.closed.map(requestsPerSecond)) / 2;
      const load = { concurrency: IN_FLIGHT, ratePerSecond };
      results.push(await server.measure(subject.workload, load, timing.warmupMs, timing.openMs));
    }
  }
}

function printSubjects(subjects: readonly Subject[], verdicts: ReadonlyMap<Subject, Verdict>): void {
  console.log(
    "| images a request | asked | requests/s | CPU ms a request | accuracy | rows / requests that need the last level | " +
      "p50 / p99 ms at half the last level's load | requests/s there | p50 / p99 ms at half its own load | requests/s there |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|---|");
  for (const subject of subjects) {
    const { accuracy, lastRows, lastRequests } = verdicts.get(subject) ?? { accuracy: 0, lastRows: 0, lastRequests: 0 };
    const cells = [
      subject.batch,
      subject.name,
      digits(median(subject.closed.map(requestsPerSecond))),
      digits(cpuUs(subject.closed) / 1000),
      percent(accuracy),
      `${percent(lastRows)} / ${percent(lastRequests)}`,
      ...[subject.half, subject.ownHalf].flatMap((results) => [
        `${digits(median(results.map(({ p50Ms }) => p50Ms)))} / ${digits(median(results.map(({ p99Ms }) => p99Ms)))}`,
        digits(median(results.map(requestsPerSecond))),
      ]),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
  console.log(`\nAt saturation (${IN_FLIGHT} in flight) ${busy(subjects.map(({ closed }) => closed))}.\n`);
}

/** The engine by itself: levels that compute nothing, asked directly and through a cascade. */
async function measureEngine(timing: Timing): Promise<void> {
  const server = await CascadeServer.start(writeEmptyCascade);
  try {
    const cases = BATCHES.flatMap((batch) => [
      { batch, name: "level directly", message: emptyRequest(EMPTY_LEVELS[0], batch, 0), results: [] as LoadResult[] },
      ...[0, 1, 2].map((escalations) => ({
        batch,
        name: `cascade, escalations: ${escalations}`,
        message: emptyRequest(EMPTY_CASCADE, batch, escalations),
        results: [] as LoadResult[],
      })),
    ]);
    for (const { name, batch, message } of cases) {
      await server.add(`${name} ${batch}`, [message]);
      const level = text((await server.answers(`${name} ${batch}`, 1))[0], "cascade_level");
      if (level !== "" && !name.endsWith(level)) throw new Error(`${name}: answered by level ${level}`);
      await server.measure(`${name} ${batch}`, { concurrency: IN_FLIGHT }, 0, timing.warmupMs * 2);
    }
    for (let round = 0; round < timing.rounds * 2; round++) {
      for (const { name, batch, results } of round % 2 === 0 ? cases : cases.toReversed()) {
        const load = { concurrency: IN_FLIGHT };
        results.push(await server.measure(`${name} ${batch}`, load, timing.warmupMs, timing.engineMs));
      }
    }
    console.log("## The engine by itself\n");
    console.log("| rows a request | asked | CPU µs a request | more than the line above | of it per row |");
    console.log("|---|---|---|---|---|");
    for (const [i, { batch, name, results }] of cases.entries()) {
      const before = cases[i - 1];
      const more = before?.batch === batch ? cpuUs(results) - cpuUs(before.results) : undefined;
      const perRow = more === undefined ? undefined : more / batch;
      console.log(`| ${batch} | ${name} | ${digits(cpuUs(results))} | ${digits(more)} | ${digits(perRow)} |`);
    }
    console.log(`\nAt saturation (${IN_FLIGHT} in flight) ${busy(cases.map(({ results }) => results))}.`);
  } finally {
    await server.close();
  }
}

/** Right answers and who gave them. */
function judge(answers: readonly InferenceResponse[], images: LabelledImages): Verdict {
  let row = 0;
  let right = 0;
  let lastRows = 0;
  let lastRequests = 0;
  for (const answer of answers) {
    const classes = classesOf(answer);
    for (const answered of classes) if (answered === images.labels[row++]) right++;
    const perLevel = text(answer, "cascade_rows_per_level");
    const fromLast = perLevel === "" ? classes.length : Number(perLevel.split(",").at(-1));
    lastRows += fromLast;
    if (fromLast > 0) lastRequests++;
  }
  return { accuracy: right / row, lastRows: lastRows / row, lastRequests: lastRequests / answers.length };
}

/** The class of the highest score of each row. */
function classesOf(answer: InferenceResponse): number[] {
  const output = answer.outputs.find(({ name }) => name === "logits");
  if (output === undefined) throw new Error("an answer has no output 'logits'");
  const [rows = 0, classes = 0] = output.shape;
  const scores = new Float32Array(Uint8Array.from(output.data).buffer);
  return Array.from({ length: rows }, (_, row) => {
    const own = scores.subarray(row * classes, (row + 1) * classes);
    return own.indexOf(Math.max(...own));
  });
}

function pointOf(answers: readonly InferenceResponse[]): string {
  return text(answers[0], "cascade_operating_point");
}

function text(answer: InferenceResponse | undefined, parameter: string): string {
  return String(answer?.parameters.get(parameter)?.value ?? "");
}

function requestsPerSecond(result: LoadResult): number {
  return result.answered / result.seconds;
}

/** CPU µs of the server's processes per request, median of the rounds. */
function cpuUs(results: readonly LoadResult[]): number {
  return median(results.map(({ serverCpuSeconds, answered }) => ((serverCpuSeconds ?? Number.NaN) * 1e6) / answered));
}

function busy(results: readonly (readonly LoadResult[])[]): string {
  return disturbance(results.flat().map(({ otherCores }) => otherCores ?? 0));
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
