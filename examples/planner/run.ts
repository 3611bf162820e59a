/**
 * `npm run demo:planner`: a family of models, a profile, a plan, a server that runs by it, load, and the prediction beside
 * what was measured. Every step is a command of hybridserve; README.md tells how to type them by hand.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describeEnvironment } from "../../bench/environment.ts";
import type { LoadResult } from "../../bench/load-protocol.ts";
import { fleetOfPlan } from "../../planner/fleet-of-plan.ts";
import { saturationRate } from "../../planner/simulate/saturation.ts";
import { JsonField } from "../../proto/files/json-field.ts";
import type { PlanFile } from "../../proto/files/plan-file.ts";
import { type ProfileFile, readProfileFile } from "../../proto/files/profile-file.ts";
import { readPlanFile } from "../../proto/files/read-plan-file.ts";
import type { InferenceResponse } from "../../proto/inference.ts";
import type { BertShape } from "./bert.ts";
import { runHybridserve } from "./commands.ts";
import { CASCADE, describe, type LabelledRows, makeRows, writeFamily, writeRows } from "./family.ts";
import { writeInventory } from "./inventory.ts";
import { HELP, type Options, parseOptions } from "./options.ts";
import { type LatencyMs, type Outcome, outcomeText } from "./outcome.ts";
import { classesOf, ServedPlan } from "./served-plan.ts";
import { type StageProcess, watchLastLevel } from "./stage-processes.ts";

/** Requests a second that the plan is asked for; it tells how much more it takes. */
const ASKED_RATE = 10;
/** Closed loop: enough that no device waits for requests. */
const IN_FLIGHT = 32;
const CALIBRATION_SEED = 7;
const LOAD_SEED = 8;

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options === "help") {
    console.log(HELP);
    return;
  }
  const startedMs = performance.now();
  const files = filesIn(options.folder);
  await prepare(options, files);
  const plan = await makePlan(options, files);
  const outcome = await serveAndMeasure(options, files, plan, startedMs);
  if (!options.keeps) await removeLarge(files);
  console.log(options.json ? JSON.stringify(outcome, null, 1) : `\n${outcomeText(outcome)}`);
  if (options.keeps) {
    const { models, planFile } = files;
    process.stderr.write(`Serve it again: npx hybridserve serve --model-repository ${models} --plan ${planFile}\n`);
  }
}

type Files = ReturnType<typeof filesIn>;

function filesIn(folder: string) {
  const file = (name: string) => join(folder, name);
  return {
    folder,
    models: file("models"),
    rows: file("held-out.npz"),
    found: file("found-devices.json"),
    devices: file("devices.json"),
    workload: file("workload.json"),
    profile: file("profile.json"),
    plan: file("plan"),
    planFile: file("plan/plan.json"),
    report: file("plan/report.html"),
    cache: file("cache"),
  };
}

/** Models, rows, devices and workload. Cascades and plans of an earlier run go: they are made anew. */
async function prepare({ effort }: Options, files: Files): Promise<void> {
  for (const path of [join(files.models, CASCADE), files.plan, files.profile])
    await rm(path, { recursive: true, force: true });
  await mkdir(files.models, { recursive: true });
  process.stderr.write(`Writing models to ${files.models}\n`);
  for (const shape of effort.family.shapes) process.stderr.write(`  ${describe(shape)}\n`);
  await writeFamily(files.models, effort.family);
  await writeRows(files.rows, makeRows(effort.rows, CALIBRATION_SEED));
  await runHybridserve(["doctor", "--devices", "--output", files.found]);
  await writeInventory(files.found, files.devices, effort.family);
  process.stderr.write(`${files.devices}: ${effort.family.devices} cores with ${effort.family.memoryMib} MiB each\n`);
  const slo = { latencyMs: effort.objectiveMs, percentile: 0.99 };
  await writeFile(files.workload, `${JSON.stringify({ formatVersion: 1, rate: ASKED_RATE, slo }, null, 2)}\n`);
}

/** Calibrates, profiles and plans. Rejects where the plan serves nothing within the objective. */
async function makePlan({ effort }: Options, files: Files): Promise<PlanFile> {
  const repository = ["--model-repository", files.models];
  await runHybridserve([
    ...["calibrate", ...repository, "--model", CASCADE, "--data", files.rows],
    ...["--max-drop", String(effort.maxDrop), "--cache", join(files.cache, "calibrate")],
  ]);
  await runHybridserve([
    ...["profile", ...repository, "--model", CASCADE, "--devices", files.devices, "--output", files.profile],
    ...["--samples", String(effort.profileSamples), "--cache", join(files.cache, "profile")],
  ]);
  await runHybridserve([
    ...["plan", ...repository, "--profile", files.profile, "--devices", files.devices],
    ...["--workload", files.workload, "--cascade", CASCADE, "--objective", "throughput"],
    ...["--samples", String(effort.stageSamples), "--requests", String(effort.simulatedRequests)],
    ...["--output", files.plan],
  ]);
  const plan = readPlanFile(await readFile(files.planFile, "utf8"), files.planFile);
  if (plan.prediction.throughput > 0) return plan;
  throw new Error(
    `the plan answers 99 % within ${effort.objectiveMs} ms at no rate: other programs kept this machine busy while it was profiled`,
  );
}

async function serveAndMeasure({ effort }: Options, files: Files, plan: PlanFile, startedMs: number): Promise<Outcome> {
  const profile = readProfileFile(await readFile(files.profile, "utf8"), files.profile);
  const rate = effort.loadShare * plan.prediction.throughput;
  const predicted = await simulated(files, rate);
  const giant = effort.family.shapes.at(-1);
  if (giant === undefined) throw new Error("the family has no models");
  process.stderr.write(`\n$ npx hybridserve serve --model-repository ${files.models} --plan ${files.planFile}\n`);
  const rows = makeRows(effort.askedRows, LOAD_SEED);
  const served = await ServedPlan.start(
    { repository: files.models, plan: files.planFile, logFolder: files.folder },
    [giant.name, CASCADE],
    rows,
  );
  try {
    const asked = await askGiant(served, plan, giant, rows);
    const cascade = await askCascade(served, plan, rows);
    process.stderr.write(`Loading it at ${rate.toFixed(1)} requests/s for ${effort.openMs / 1000} s\n`);
    const open = await served.measure(CASCADE, { concurrency: 1, ratePerSecond: rate }, effort.warmupMs, effort.openMs);
    process.stderr.write(`Loading it with ${IN_FLIGHT} requests in flight for ${effort.closedMs / 1000} s\n`);
    const closed = await served.measure(CASCADE, { concurrency: IN_FLIGHT }, effort.warmupMs, effort.closedMs);
    const { machine } = describeEnvironment([]);
    return {
      machine: `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB, ${machine.system}`,
      models: effort.family.shapes.map(describe),
      devices: effort.family.devices,
      memoryMib: effort.family.memoryMib,
      giant: {
        name: giant.name,
        refusal: refusalOf(profile, giant.name),
        stages: plan.stages.filter(({ model }) => model === giant.name).length,
        askedRows: rows.count,
        wrongAnswers: asked.wrongAnswers,
      },
      processes: asked.processes,
      cascade,
      objectiveMs: effort.objectiveMs,
      predictedThroughput: plan.prediction.throughput,
      saturation: {
        predicted: saturationRate(fleetOfPlan(plan, profile), plan.workload.reach, 1),
        measured: closed.answered / closed.seconds,
      },
      load: { rate, predicted, measured: figuresOf(open), otherCores: open.otherCores ?? null },
      report: resolve(files.report),
      seconds: (performance.now() - startedMs) / 1000,
    };
  } finally {
    await served.stop();
  }
}

/** The giant alone: its answers against the rule it was made with, and the processes that computed them. */
async function askGiant(
  served: ServedPlan,
  plan: PlanFile,
  { name, skill }: BertShape,
  rows: LabelledRows,
): Promise<{ readonly processes: readonly StageProcess[]; readonly wrongAnswers: number }> {
  let classes: number[] = [];
  const processes = await watchLastLevel(served.pid, plan, async () => {
    classes = classesOf(await served.answers(name, IN_FLIGHT));
  });
  // Where they are equal, label and decoy have the same logit.
  const isWrong = (difficulty: number, row: number) =>
    difficulty !== skill && difficulty < skill !== (classes[row] === rows.labels[row]);
  return { processes, wrongAnswers: [...rows.difficulties].filter(isWrong).length };
}

async function askCascade(served: ServedPlan, plan: PlanFile, rows: LabelledRows): Promise<Outcome["cascade"]> {
  const responses = await served.answers(CASCADE, IN_FLIGHT);
  const last = plan.models.length - 1;
  return {
    operatingPoint: textOf(responses[0], "cascade_operating_point"),
    askedRows: rows.count,
    rightAnswers: classesOf(responses).filter((label, row) => label === rows.labels[row]).length,
    plannedReach: plan.workload.reach[last] ?? 0,
    reach: responses.filter((response) => textOf(response, "cascade_level") === String(last)).length / rows.count,
  };
}

/** What the plan's placement does at this rate, by `hybridserve simulate`. */
async function simulated(files: Files, rate: number): Promise<LatencyMs & { readonly throughput: number }> {
  const text = await runHybridserve(["simulate", "--plan", files.planFile, "--rate", String(rate), "--json"], true);
  const [variant] = JsonField.parse(text, "hybridserve simulate").get("variants").items();
  if (variant === undefined) throw new Error("hybridserve simulate --json has no variants");
  const latency = variant.get("latencyMs");
  const [p50, p95, p99] = ["p50", "p95", "p99"].map((name) => latency.get(name).number(0));
  return { p50: p50 ?? 0, p95: p95 ?? 0, p99: p99 ?? 0, throughput: variant.get("throughput").number(0) };
}

function figuresOf({ answered, seconds, p50Ms, p95Ms, p99Ms }: LoadResult): Outcome["load"]["measured"] {
  return { p50: p50Ms, p95: p95Ms, p99: p99Ms, throughput: answered / seconds };
}

function refusalOf({ models }: ProfileFile, name: string): string {
  const stopped = models.find((model) => model.name === name)?.classes[0]?.stopped ?? "";
  if (stopped !== "") return stopped;
  throw new Error(`${name} runs whole on one device: its memory limit is too high for this example`);
}

function textOf(response: InferenceResponse | undefined, parameter: string): string {
  return String(response?.parameters.get(parameter)?.value ?? "");
}

/** What another run can write again; plan, profile and report stay. */
async function removeLarge({ models, plan, cache, rows }: Files): Promise<void> {
  for (const path of [models, join(plan, "stages"), cache, rows]) await rm(path, { recursive: true, force: true });
}

try {
  await main();
} catch (error) {
  if (!(error instanceof Error)) throw error;
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
