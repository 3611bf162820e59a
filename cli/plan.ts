/** `hybridserve plan`: from profiles, devices and a workload to plan.json, the stage files and a report. */
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { explainPlacement, oneMoreDevice } from "../planner/placement/explain.ts";
import { type LastLevelPlan, planLastLevel } from "../planner/plan/last-level-only.ts";
import { makePlan, type PlanRequest } from "../planner/plan/make-plan.ts";
import { checkPlan } from "../planner/plan-check.ts";
import { InferenceError } from "../proto/errors.ts";
import { PLAN_FORMAT_VERSION, type PlanFile } from "../proto/files/plan-file.ts";
import { type Command, type CommandIo, EXIT_FAILED, EXIT_OK, parseErrorText, usageError } from "./command.ts";
import { packageVersion } from "./package-version.ts";
import { buildPlanFile } from "./plan/build-plan.ts";
import { HighsSolver } from "./plan/highs-solver.ts";
import { MeasuredStages, STAGE_FOLDER } from "./plan/measured-stages.ts";
import { PLAN_HELP, PLAN_OPTIONS, type PlanOptions, parsePlanOptions } from "./plan/options.ts";
import { type PlanInputs, readPlanInputs } from "./plan/plan-inputs.ts";
import { planReportData } from "./plan/report-data.ts";
import { npzSource, randomSource } from "./profile/rows.ts";
import type { LastLevelOnly } from "./report/plan-data.ts";
import { planReport } from "./report/plan-report.ts";
import { planTables } from "./terminal/plan-tables.ts";
import { terminalStyles } from "./terminal/styles.ts";

export const planCommand: Command = {
  name: "plan",
  summary: "cut, copy and place models on devices for a workload",
  help: PLAN_HELP,
  run: plan,
};

async function plan(argv: readonly string[], io: CommandIo): Promise<number> {
  let options: PlanOptions | "help";
  try {
    options = parsePlanOptions(argv);
  } catch (error) {
    return usageError(io, "plan", parseErrorText(error, Object.keys(PLAN_OPTIONS)));
  }
  if (options === "help") {
    io.stdout(PLAN_HELP);
    return EXIT_OK;
  }
  try {
    await run(options, argv, io);
    return EXIT_OK;
  } catch (error) {
    const { message } = InferenceError.from(error);
    io.stderr(`error: ${error instanceof InferenceError ? message : ((error as Error).stack ?? message)}\n`);
    return EXIT_FAILED;
  }
}

async function run(options: PlanOptions, argv: readonly string[], io: CommandIo): Promise<void> {
  const note = (text: string) => io.stderr(`${text}\n`);
  const inputs = await readPlanInputs(options);
  const output = resolve(options.output);
  const directory = await prepareOutput(output);
  const stages = new MeasuredStages({
    repositories: options.repositories,
    inventory: inputs.inventory,
    rows: options.data === undefined ? randomSource(options.shapes) : await npzSource(options.data),
    directory,
    samples: options.samples,
    limitMs: STAGE_LIMIT_MS,
    log: {
      info: () => undefined,
      warn: (_fields, text) => note(`warning: ${text}`),
      error: (_fields, text) => note(`error: ${text}`),
    },
    note,
  });
  const solver = options.hasSolver ? new HighsSolver({ timeLimitMs: options.solverTimeLimitMs }) : null;
  try {
    const { classes, devices, links } = inputs.inventory;
    const request: PlanRequest = {
      objective: options.objective,
      workload: inputs.workload,
      profiles: inputs.profiles,
      classes,
      devices,
      links,
      utilisationCap: options.utilisationCap,
      memoryShare: options.memoryShare,
      copies: options.copies,
      unusedDevices: options.unusedDevices,
      gearPoints: inputs.gearPoints,
      seed: options.seed,
      simulatedRequests: options.requests,
    };
    const tools = { solver, measure: stages.measure.bind(stages), progress: note };
    const made = await makePlan(request, tools);
    note("planning the last level alone, to compare");
    const lastLevel = await planLastLevel(request, tools);
    const explanation = {
      ...explainPlacement(made.problem, made.placement),
      oneMoreDevice: await oneMoreDevice(made.problem, made.placement, solver),
    };
    const cut = made.staged.map((way, k) => stages.cutModel(inputs.profiles[k]?.name ?? "", way));
    const plan = buildPlanFile({
      options,
      inputs,
      made,
      cut,
      explanation,
      command: `hybridserve plan ${argv.join(" ")}`,
      version: packageVersion(),
      createdAt: new Date().toISOString(),
    });
    const [inconsistency] = checkPlan(plan);
    if (inconsistency !== undefined)
      throw new InferenceError("INTERNAL", `the plan contradicts itself: ${inconsistency}`);
    const report = planReportData({
      plan,
      made,
      workload: inputs.workload,
      lastLevelOnly: lastLevel === undefined ? null : lastLevelFigures(lastLevel),
      hybridserveVersion: packageVersion(),
    });
    await stages.removeOthers(cut);
    await writePlan(directory, inputs, plan, planReport(report));
    await swapIn(directory, output);
    if (options.json) {
      io.stdout(planJson(plan));
      return;
    }
    io.stdout(
      `\n${planTables(report, terminalStyles({ isTty: io.terminalColumns !== undefined, environment: process.env }))}`,
    );
    const path = relative(process.cwd(), join(options.output, "plan.json"));
    const repositories = options.repositories.map((each) => `--model-repository ${each}`).join(" ");
    io.stdout(
      `Written: ${path} (open report.html in a browser). Next: hybridserve serve ${repositories} --plan ${path}\n`,
    );
  } finally {
    await solver?.close();
    // Gone already where the plan was made.
    await rm(directory, { recursive: true, force: true });
  }
}

/** For each stage on each class: samples end earlier. */
const STAGE_LIMIT_MS = 60_000;
/** What `plan` writes, and so may replace. */
const OWN_FILES: ReadonlySet<string> = new Set(["plan.json", "profile.json", "report.html", STAGE_FOLDER]);

/**
 * `output` is absolute. Where the plan is made: a new folder beside the output, so that an older plan stays whole until the new one is. Refuses
 * an output that holds anything else, which would go.
 */
async function prepareOutput(output: string): Promise<string> {
  const names = await readdir(output).catch((error: unknown): string[] => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw new InferenceError("FAILED_PRECONDITION", `--output ${output} must be a folder: ${String(error)}`);
  });
  const foreign = names.find((name) => !OWN_FILES.has(name));
  if (foreign !== undefined) {
    throw new InferenceError(
      "FAILED_PRECONDITION",
      `--output ${output} holds '${foreign}', which is no part of a plan: name an empty or a new folder`,
    );
  }
  const directory = `${output}.part`;
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  return directory;
}

async function writePlan(
  directory: string,
  { profileText }: PlanInputs,
  plan: PlanFile,
  report: string,
): Promise<void> {
  await writeFile(join(directory, "profile.json"), profileText);
  await writeFile(join(directory, "report.html"), report);
  await writeFile(join(directory, "plan.json"), planJson(plan));
}

/** The older plan goes when the new one is in its place. */
async function swapIn(directory: string, output: string): Promise<void> {
  const older = `${output}.old`;
  await rm(older, { recursive: true, force: true });
  if (existsSync(output)) await rename(output, older);
  await rename(directory, output);
  await rm(older, { recursive: true, force: true });
}

function planJson(plan: PlanFile): string {
  return `${JSON.stringify({ formatVersion: PLAN_FORMAT_VERSION, ...plan }, null, 1)}\n`;
}

function lastLevelFigures({ made, rate, result }: LastLevelPlan): LastLevelOnly {
  return {
    throughput: rate,
    devices: new Set(made.fleet.replicas.map((replica) => replica.device)).size,
    watts: result.energy?.watts ?? null,
    joulesPerRequest: result.energy?.joulesPerRequest ?? null,
  };
}
