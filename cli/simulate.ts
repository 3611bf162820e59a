/** `hybridserve simulate`: what a plan would do under a workload, without running a model. */
import { type CapacityOptions, capacity } from "../planner/plan/capacity.ts";
import { type PlanWorkload, simulatedAt } from "../planner/plan/workload.ts";
import { simulate } from "../planner/simulate/simulate.ts";
import { lastLevelOnly } from "../planner/simulate/ways.ts";
import { InferenceError } from "../proto/errors.ts";
import { type Command, type CommandIo, EXIT_FAILED, EXIT_OK, parseErrorText, usageError } from "./command.ts";
import { readSimulateInputs, type SimulateInputs } from "./simulate/inputs.ts";
import { parseSimulateOptions, SIMULATE_HELP, SIMULATE_OPTIONS, type SimulateOptions } from "./simulate/options.ts";
import { simulationTables, type Variant } from "./simulate/tables.ts";

const FORMAT_VERSION = 1;
/** Share of the requests in the simulations that search the highest rate. */
const SEARCH_SHARE = 0.3;

export const simulateCommand: Command = {
  name: "simulate",
  summary: "play a workload on a plan: latency, energy, what is busy",
  help: SIMULATE_HELP,
  run: simulateWorkload,
};

async function simulateWorkload(argv: readonly string[], io: CommandIo): Promise<number> {
  let options: SimulateOptions | "help";
  try {
    options = parseSimulateOptions(argv);
  } catch (error) {
    return usageError(io, "simulate", parseErrorText(error, Object.keys(SIMULATE_OPTIONS)));
  }
  if (options === "help") {
    io.stdout(SIMULATE_HELP);
    return EXIT_OK;
  }
  try {
    const inputs = await readSimulateInputs(options);
    const variants = playVariants(inputs, options);
    io.stdout(
      options.json ? toJson(inputs, variants, options) : simulationTables(inputs.workload, inputs.fleet, variants),
    );
    return EXIT_OK;
  } catch (error) {
    const { message } = InferenceError.from(error);
    io.stderr(`error: ${error instanceof InferenceError ? message : ((error as Error).stack ?? message)}\n`);
    return EXIT_FAILED;
  }
}

/** The plan's own dataflow first. */
function playVariants({ fleet, workload }: SimulateInputs, options: SimulateOptions): Variant[] {
  const { seed, unusedDevices, overheadMs } = options;
  const levels = fleet.levels.length;
  const play = (name: string, played: PlanWorkload): Variant => {
    const search: CapacityOptions = {
      requests: Math.max(1000, Math.floor(options.requests * SEARCH_SHARE)),
      seed,
      unusedDevices,
    };
    // What a request takes outside the fleet is no longer there to wait in.
    const slo = { ...played.slo, latencyMs: Math.max(0, played.slo.latencyMs - overheadMs) };
    return {
      name,
      result: simulate(fleet, simulatedAt(played, played.rate), {
        requests: options.requests,
        seed,
        unusedDevices,
        overheadMs,
      }),
      mostRate: capacity(fleet, { ...played, slo }, search)?.rate,
    };
  };
  const planned = play("as planned", workload);
  if (!options.comparesLastLevel || levels === 1) return [planned];
  const alone = { ...workload, routing: lastLevelOnly(levels), shadowShare: 0 };
  return [planned, play("last level", alone)];
}

function toJson(
  { workload }: SimulateInputs,
  variants: readonly Variant[],
  { plan, profile }: SimulateOptions,
): string {
  const { rate, arrivals, rowsPerRequest, slo, paths, shadowShare } = workload;
  const json = {
    formatVersion: FORMAT_VERSION,
    plan,
    profile,
    workload: { rate, arrivals, rowsPerRequest, slo, paths, shadowShare },
    variants: variants.map(({ name, mostRate, result }) => ({ name, mostRate: mostRate ?? null, ...result })),
  };
  return `${JSON.stringify(json, null, 1)}\n`;
}
