/** Prints what a cascade saves in each fleet scenario: by formula, and placed and simulated; `--large` times planning. */
import { readdirSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { HighsSolver } from "../../cli/plan/highs-solver.ts";
import { significant } from "../../cli/report/format.ts";
import { type TextColumn, textTable, wrapped } from "../../cli/terminal/table.ts";
import { place } from "../../planner/placement/place.ts";
import { checkRatio, PAPER_RATIO } from "../../planner/scenario/conditions.ts";
import { energyRatio } from "../../planner/scenario/energy-ratio.ts";
import { type PlannedScenario, planScenario } from "../../planner/scenario/plan-scenario.ts";
import { readScenario, type Scenario } from "../../planner/scenario/scenario-file.ts";
import { largestBatch, ratioConditions, scenarioProblem } from "../../planner/scenario/scenario-problem.ts";

const HELP = `Energy of a cascade against its last level alone, over arrival rates, for the fleets in examples/planner/scenarios.

  npm run demo:scenarios -- [--only NAMES] [--formula] [--requests N]
  npm run demo:scenarios -- --large

  --only NAMES    files without .json, comma separated (default: all but large-fleet)
  --formula       the closed form only: seconds instead of minutes
  --requests N    requests a simulation (default 40000)
  --large         plans the ten thousand devices of large-fleet.json and tells how long it took
  --help

  A  the last level alone, one row at a time: the baseline of the paper's prototype
  B  the last level alone on our own server, with the cascade's batches
  C  the cascade, shadows included; (last): replicas of its last level

Devices that are not needed are off; in "unused on" they take their bare power. docs/planner.md says what is assumed.
`;

const FOLDER = new URL("scenarios/", import.meta.url);
const LARGE = "large-fleet";
const WIDTH = 120;
const SEED = 1;
/** Batches that are not full need more devices than the formula says, at most as much more as a full one saves. */
const ENOUGH = 2;

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      only: { type: "string" },
      formula: { type: "boolean", default: false },
      requests: { type: "string", default: "40000" },
      large: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const requests = Number(options.requests);
  if (options.help || !Number.isInteger(requests) || requests < 100) {
    console.log(HELP);
    process.exitCode = options.help ? 0 : 2;
    return;
  }
  const solver = new HighsSolver();
  try {
    if (options.large) return await planLarge(solver);
    for (const name of options.only?.split(",") ?? scenarioNames()) {
      const scenario = read(name);
      printHead(scenario);
      printFormula(scenario);
      if (!options.formula) await printSimulated(scenario, solver, requests);
      printConditions(scenario);
    }
  } finally {
    await solver.close();
  }
}

function scenarioNames(): string[] {
  const names = readdirSync(FOLDER).map((file) => file.replace(/\.json$/, ""));
  return names.filter((name) => name !== LARGE).sort();
}

function read(name: string): Scenario {
  const file = new URL(`${name}.json`, FOLDER);
  return readScenario(readFileSync(file, "utf8"), `${name}.json`);
}

function printHead({ title, sources, levels, workload }: Scenario): void {
  console.log(`\n## ${title}\n`);
  for (const source of sources) print(wrapped(`- ${source}`, WIDTH));
  const batches = levels.map((level) => `${level.model} ${largestBatch(level)}`).join(", ");
  console.log(`- Largest batches: ${batches}; shadows: ${percent(workload.shadowShare)} of early answers`);
}

/** Devices of a single row at a time as the paper's prototype had them, of our own server, and of the cascade. */
function printFormula(scenario: Scenario): void {
  const fair = { baselineBatching: "any", unusedDevices: "off" } as const;
  const rows = [...scenario.rates, Number.POSITIVE_INFINITY].map((rate) => {
    const own = energyRatio(ratioConditions(scenario, rate, fair));
    const paperStyle = energyRatio(ratioConditions(scenario, rate, { ...fair, baselineBatching: "single" }));
    const kept = energyRatio(ratioConditions(scenario, rate, { ...fair, unusedDevices: "bare" }));
    const unshadowed = energyRatio({ ...ratioConditions(scenario, rate, fair), shadowShare: 0 });
    const fleet = ({ devices, joulesPerRequest }: { devices: number; joulesPerRequest: number }): string[] => [
      count(devices),
      significant(joulesPerRequest),
    ];
    return [
      count(rate),
      ...fleet(paperStyle.baseline),
      ...fleet(own.baseline),
      rate === Number.POSITIVE_INFINITY ? "inf" : `${count(own.cascade.devices)} (${own.cascade.replicas.at(-1)})`,
      significant(own.cascade.joulesPerRequest),
      times(paperStyle.ratio),
      times(own.ratio),
      times(kept.ratio),
      times(unshadowed.ratio),
    ];
  });
  console.log("\nBy formula: dedicated devices, full batches; ratios of J/request, the last two of B/C\n");
  const titles = ["req/s", "A dev", "J/req", "B dev", "J/req", "C dev (last)", "J/req"];
  print(textTable(columns(...titles, "A/C", "B/C", "unused on", "no shadows"), rows, WIDTH));
}

async function printSimulated(scenario: Scenario, solver: HighsSolver, requests: number): Promise<void> {
  const rows: string[][] = [];
  const run = { solver, requests, seed: SEED };
  const off = { batching: "any", unusedDevices: "off" } as const;
  for (const rate of scenario.rates) {
    const formula = energyRatio(ratioConditions(scenario, rate, { baselineBatching: "any", unusedDevices: "off" }));
    const enough = (devices: number): Scenario => firstDevices(scenario, ENOUGH * devices);
    const alone = await planScenario(enough(formula.baseline.devices), rate, { ...off, levels: "last-only" }, run);
    const cascade = await planScenario(enough(formula.cascade.devices), rate, { ...off, levels: "cascade" }, run);
    if (alone.kind === "infeasible") throw new Error(alone.reasons.join("; "));
    if (cascade.kind === "infeasible") throw new Error(cascade.reasons.join("; "));
    const ratio = joules(alone) / joules(cascade);
    rows.push([
      count(rate),
      ...figures(alone),
      ...figures(cascade),
      times(ratio),
      times(formula.ratio),
      shadowsRun(scenario, cascade, requests),
    ]);
  }
  console.log("\nPlaced and simulated: levels may share devices, batches are what the queue holds, requests wait\n");
  const fleet = (name: string): string[] => [`${name} dev`, "W", "J/req", "p99 ms"];
  print(textTable(columns("req/s", ...fleet("B"), ...fleet("C"), "B/C", "by formula", "shadows run"), rows, WIDTH));
}

/** Devices are searched in vain for long where there are many more than needed; those beyond are off in any case. */
function firstDevices(scenario: Scenario, most: number): Scenario {
  const { devices } = scenario;
  return { ...scenario, devices: { ...devices, devices: devices.devices.slice(0, most) } };
}

function figures({ devices, simulated }: PlannedScenario): string[] {
  const { energy, latencyMs } = simulated;
  return [
    count(devices),
    significant(energy?.watts ?? Number.NaN),
    significant(energy?.joulesPerRequest ?? Number.NaN),
    significant(latencyMs.p99),
  ];
}

/** Shadows that found the last level idle, of those that should run. */
function shadowsRun({ workload }: Scenario, { simulated }: PlannedScenario, requests: number): string {
  const early = 1 - (simulated.levels.at(-1)?.answeredShare ?? 0);
  return percent(Math.min(1, simulated.shadows.rows / (workload.shadowShare * early * requests)));
}

function joules({ simulated }: PlannedScenario): number {
  return simulated.energy?.joulesPerRequest ?? Number.NaN;
}

function printConditions(scenario: Scenario): void {
  const { conditions, ceiling, unwatchedCeiling } = checkRatio(scenario, PAPER_RATIO);
  const met = conditions.filter(({ isMet }) => isMet).length;
  console.log(`\nConditions of ${PAPER_RATIO}x: ${met} of ${conditions.length} met`);
  console.log(`Most at any load: ${times(ceiling)} with every shadow run, ${times(unwatchedCeiling)} without shadows`);
  for (const { what, needed, found, isMet } of conditions) {
    print(wrapped(`- ${isMet ? "met" : "NOT met"}: ${what}: ${found} (needed: ${needed})`, WIDTH));
  }
  console.log("- assumed, not shown: unused devices are off or used by others; energy is that of the devices alone");
}

async function planLarge(solver: HighsSolver): Promise<void> {
  const scenario = read(LARGE);
  printHead(scenario);
  const { rate } = scenario.workload;
  const problem = scenarioProblem(scenario, rate, { levels: "cascade", batching: "any", unusedDevices: "off" });
  for (const objective of ["throughput", "energy"] as const) {
    const startMs = performance.now();
    const outcome = await place({ ...problem, objective }, solver);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    if (outcome.kind === "infeasible") throw new Error(outcome.reasons.join("; "));
    const used = new Set(outcome.fleet.replicas.map(({ device }) => device)).size;
    const shapes = outcome.fleet.levels.map(
      ({ model, stages, batch }) => `${model} in ${stages.length} stage(s), batches of ${batch.maxBatchSize}`,
    );
    console.log(
      `\n${objective}: ${seconds} s, ${(outcome.solverMs / 1000).toFixed(1)} s of them HiGHS; ${outcome.algorithm}, ` +
        `gap ${percent(outcome.optimalityGap)}${outcome.isTimeLimited ? ", the time limit was reached" : ""}`,
    );
    console.log(
      `${count(used)} of ${count(scenario.devices.devices.length)} devices, ${count(outcome.fleet.replicas.length)} copies, ` +
        `${significant(outcome.rate)} requests/s, ${significant((outcome.watts ?? Number.NaN) / 1000)} kW`,
    );
    print(wrapped(shapes.join("; "), WIDTH));
  }
}

function columns(...titles: string[]): TextColumn[] {
  return titles.map((title) => ({ title, align: "right", shrinks: false }));
}

function print(lines: readonly string[]): void {
  console.log(lines.join("\n"));
}

function count(value: number): string {
  return value === Number.POSITIVE_INFINITY ? "inf" : value.toLocaleString("en-US");
}

function times(ratio: number): string {
  return `${significant(ratio)}x`;
}

function percent(share: number): string {
  return `${significant(100 * share)} %`;
}

await main();
