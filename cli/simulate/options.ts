/** The command line of `hybridserve simulate` as typed values. */
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { InferenceError } from "../../proto/errors.ts";
import { didYouMean } from "../../proto/suggest.ts";

export const SIMULATE_HELP = `Usage: hybridserve simulate --plan plan.json [flags]

Plays a workload on a plan's placement: latency, requests answered in time, how busy levels and devices are, watts and
joules a request. Nothing runs but the simulation; it batches and routes as the server does.

Flags:
  --plan FILE                what hybridserve plan wrote
  --profile FILE             service times of whole models (default: profile.json beside the plan)
  --workload FILE            arrivals, objective, ways of rows (default: what the plan was made for)
  --recorded FILE            .npz of what the levels of the plan's cascade answered, as for calibrate --data: simulated
                             rows take the ways of these rows, not ways drawn by the plan's paths
  --model-repository DIR     where that cascade is (repeatable)
  --rate R                   requests a second instead of the workload's
  --compare last-level-only  also: the same arrivals, every row answered by the last level, on the same placement
  --unused-devices KIND      what a device without a model takes: off: nothing, bare: its bare watts (default off)
  --overhead-ms X            time of a request outside queues and devices, added to every latency (default 0)
  --requests N               simulated (default 100000)
  --seed N                   the same seed gives the same figures (default 1)
  --json                     print the results as JSON
  --help, -h                 print this text

Example:
  hybridserve simulate --plan plan/plan.json --rate 300 --compare last-level-only

Exit codes: 0 simulated, whether the objective holds or not; 1 failed, 2 bad usage.
`;

export const SIMULATE_OPTIONS = {
  plan: { type: "string" },
  profile: { type: "string" },
  workload: { type: "string" },
  recorded: { type: "string" },
  "model-repository": { type: "string", multiple: true },
  rate: { type: "string" },
  compare: { type: "string" },
  "unused-devices": { type: "string", default: "off" },
  "overhead-ms": { type: "string", default: "0" },
  requests: { type: "string", default: "100000" },
  seed: { type: "string", default: "1" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

export interface SimulateOptions {
  readonly plan: string;
  readonly profile: string;
  /** undefined: the plan's own. */
  readonly workload: string | undefined;
  /** Recorded outputs of the levels of the plan's cascade; undefined: ways are drawn by the paths. */
  readonly recorded: string | undefined;
  /** Where that cascade is. */
  readonly repositories: readonly string[];
  /** Requests a second; undefined: the workload's. */
  readonly rate: number | undefined;
  readonly comparesLastLevel: boolean;
  readonly unusedDevices: "off" | "bare";
  readonly overheadMs: number;
  readonly requests: number;
  readonly seed: number;
  readonly json: boolean;
}

/** Throws with one line for what is wrong; "help" where help was asked for. */
export function parseSimulateOptions(argv: readonly string[]): SimulateOptions | "help" {
  const { values } = parseArgs({ args: [...argv], options: SIMULATE_OPTIONS, strict: true });
  if (values.help) return "help";
  const { plan } = values;
  if (plan === undefined || plan === "") throw invalid("give --plan plan.json, as hybridserve plan writes it");
  if (values.compare !== undefined) oneOf(values.compare, "--compare", ["last-level-only"]);
  const repositories = values["model-repository"] ?? [];
  if ((values.recorded === undefined) !== (repositories.length === 0)) {
    throw invalid("--recorded FILE and --model-repository DIR go together: the file's rows, and where the cascade is");
  }
  const rate = values.rate === undefined ? undefined : number(values.rate, "--rate");
  if (rate === 0) throw invalid("--rate must be above 0");
  return {
    plan,
    profile: values.profile ?? join(dirname(plan), "profile.json"),
    workload: values.workload,
    recorded: values.recorded,
    repositories,
    rate,
    comparesLastLevel: values.compare !== undefined,
    unusedDevices: oneOf(values["unused-devices"], "--unused-devices", ["off", "bare"] as const),
    overheadMs: number(values["overhead-ms"], "--overhead-ms"),
    requests: wholeNumber(values.requests, "--requests", 100, 100_000_000),
    seed: wholeNumber(values.seed, "--seed", 0, 2 ** 31),
    json: values.json,
  };
}

function oneOf<T extends string>(text: string, flag: string, choices: readonly T[]): T {
  const choice = choices.find((each) => each === text);
  if (choice === undefined) {
    throw invalid(`${flag} '${text}' must be one of ${choices.join(", ")}${didYouMean(text, choices)}`);
  }
  return choice;
}

function number(text: string, flag: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0 && Number.isFinite(value)) return value;
  throw invalid(`${flag} '${text}' must be a number of at least 0`);
}

function wholeNumber(text: string, flag: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw invalid(`${flag} '${text}' must be a whole number between ${least} and ${most}`);
}

function invalid(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
