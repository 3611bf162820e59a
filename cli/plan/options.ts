/** The command line of `hybridserve plan` as typed values. */
import { parseArgs } from "node:util";
import { InferenceError } from "../../proto/errors.ts";
import { PLAN_OBJECTIVES, type PlanObjective } from "../../proto/files/plan-file.ts";
import { didYouMean } from "../../proto/suggest.ts";

export const PLAN_HELP = `Usage: hybridserve plan --model-repository DIR --profile profile.json --devices devices.json
         --workload workload.json --objective throughput|energy --output DIR [flags]

Cuts, copies and places models on devices, chooses batch sizes and queue delays, and predicts what becomes of it.
Writes plan.json, report.html and the stage files into DIR; hybridserve serve --plan DIR/plan.json serves by it.

What is planned:
  --model-repository DIR   the models (repeatable; also: --model-store)
  --profile FILE           what hybridserve profile measured of them
  --devices FILE           the devices, as hybridserve doctor --devices lists them
  --workload FILE          arrival rate, latency objective, and the models with the ways of rows through them
  --cascade NAME           instead of the workload's dataflow: the levels of this cascade, as its cascade.json has them
  --operating-point NAME   of that cascade; default: its own default
  --recorded FILE          of that cascade: .npz of what its levels answered, as for calibrate --data: simulated rows
                           take the ways of these rows, not ways drawn by the point's paths

How:
  --objective KIND         throughput: the highest rate in time; energy: the fewest watts at the workload's rate
  --utilisation-cap SHARE  no device is planned to be busier (default 0.8)
  --memory-share SHARE     of a device's memory that models may take (default 0.9)
  --copies N               least copies of every stage, in failure groups of their own (default 1)
  --unused-devices KIND    what a device without a model takes: off: nothing, bare: its bare watts (default off)
  --samples N              runs of every batch size of a stage (default 30)
  --requests N             simulated to decide (default 100000)
  --seed N                 of the simulation (default 1)
  --solver-time-limit S    safety net of the optimiser (default 120); a plan that it ended says so
  --no-solver              only the exact and rule-based searches
  --data FILE              .npz with real rows to measure stages on; default: random ones
  --shape INPUT:SIZES      sizes of free dimensions, such as ids:128 (repeatable)

  --output DIR             where the plan goes; it must not hold anything else
  --json                   the plan on standard output
  --help, -h               print this text

Example:
  hybridserve plan --model-repository models --profile profile.json --devices devices.json \\
    --workload workload.json --cascade fashion --objective throughput --output plan

A workload.json: { "formatVersion": 1, "rate": 300, "slo": { "latencyMs": 200, "percentile": 0.99 } }

Exit codes: 0 planned, also where the workload's rate is more than the devices take (a warning says so); 1 nothing could
be planned; 2 bad usage.
`;

export const PLAN_OPTIONS = {
  "model-repository": { type: "string", multiple: true },
  "model-store": { type: "string", multiple: true },
  profile: { type: "string" },
  devices: { type: "string" },
  workload: { type: "string" },
  cascade: { type: "string" },
  "operating-point": { type: "string" },
  recorded: { type: "string" },
  objective: { type: "string" },
  "utilisation-cap": { type: "string", default: "0.8" },
  "memory-share": { type: "string", default: "0.9" },
  copies: { type: "string", default: "1" },
  "unused-devices": { type: "string", default: "off" },
  samples: { type: "string", default: "30" },
  requests: { type: "string", default: "100000" },
  seed: { type: "string", default: "1" },
  "solver-time-limit": { type: "string", default: "120" },
  "no-solver": { type: "boolean", default: false },
  data: { type: "string" },
  shape: { type: "string", multiple: true },
  output: { type: "string" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

export interface PlanOptions {
  readonly repositories: readonly string[];
  readonly profile: string;
  readonly devices: string;
  readonly workload: string;
  /** undefined: the workload has a dataflow. */
  readonly cascade: string | undefined;
  /** undefined: the cascade's default. */
  readonly operatingPoint: string | undefined;
  /** Recorded outputs of the cascade's levels; undefined: ways are drawn by the paths. */
  readonly recorded: string | undefined;
  readonly objective: PlanObjective;
  readonly utilisationCap: number;
  readonly memoryShare: number;
  readonly copies: number;
  readonly unusedDevices: "off" | "bare";
  readonly samples: number;
  readonly requests: number;
  readonly seed: number;
  readonly solverTimeLimitMs: number;
  readonly hasSolver: boolean;
  readonly data: string | undefined;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly output: string;
  readonly json: boolean;
}

/** Throws with one line for what is wrong; "help" where help was asked for. */
export function parsePlanOptions(argv: readonly string[]): PlanOptions | "help" {
  const { values } = parseArgs({ args: [...argv], options: PLAN_OPTIONS, strict: true });
  if (values.help) return "help";
  const repositories = [...(values["model-repository"] ?? []), ...(values["model-store"] ?? [])];
  if (repositories.length === 0) throw invalid("name a repository with --model-repository DIR");
  if (values["operating-point"] !== undefined && values.cascade === undefined) {
    throw invalid("--operating-point is a cascade's: name that with --cascade");
  }
  if (values.recorded !== undefined && values.cascade === undefined) {
    throw invalid("--recorded holds answers of a cascade's levels: name that with --cascade");
  }
  return {
    repositories,
    profile: needed(values.profile, "--profile profile.json"),
    devices: needed(values.devices, "--devices devices.json"),
    workload: needed(values.workload, "--workload workload.json"),
    cascade: values.cascade,
    operatingPoint: values["operating-point"],
    recorded: values.recorded,
    objective: oneOf(needed(values.objective, "--objective throughput or energy"), "--objective", PLAN_OBJECTIVES),
    utilisationCap: share(values["utilisation-cap"], "--utilisation-cap"),
    memoryShare: share(values["memory-share"], "--memory-share"),
    copies: wholeNumber(values.copies, "--copies", 1, 1000),
    unusedDevices: oneOf(values["unused-devices"], "--unused-devices", ["off", "bare"]),
    samples: wholeNumber(values.samples, "--samples", 1, 100_000),
    requests: wholeNumber(values.requests, "--requests", 1000, 100_000_000),
    seed: wholeNumber(values.seed, "--seed", 0, 2 ** 31),
    solverTimeLimitMs: wholeNumber(values["solver-time-limit"], "--solver-time-limit", 1, 86_400) * 1000,
    hasSolver: !values["no-solver"],
    data: values.data,
    shapes: new Map((values.shape ?? []).map(shapeOf)),
    output: needed(values.output, "--output DIR"),
    json: values.json,
  };
}

/** `ids:128` or `image:3,224,224`, as perf_analyzer takes it. */
export function shapeOf(text: string): [string, number[]] {
  const colon = text.lastIndexOf(":");
  if (colon < 1) throw invalid(`--shape '${text}' must be an input and its sizes, such as ids:128`);
  const sizes = text.slice(colon + 1).split(",");
  return [text.slice(0, colon), sizes.map((size) => wholeNumber(size.trim(), "--shape", 0, 2 ** 31))];
}

function needed(value: string | undefined, what: string): string {
  if (value === undefined || value === "") throw invalid(`give ${what}`);
  return value;
}

function oneOf<T extends string>(text: string, flag: string, choices: readonly T[]): T {
  const choice = choices.find((each) => each === text);
  if (choice === undefined) {
    throw invalid(`${flag} '${text}' must be one of ${choices.join(", ")}${didYouMean(text, choices)}`);
  }
  return choice;
}

function share(text: string, flag: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && value <= 1) return value;
  throw invalid(`${flag} '${text}' must be a share above 0 and at most 1`);
}

function wholeNumber(text: string, flag: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw invalid(`${flag} '${text}' must be a whole number between ${least} and ${most}`);
}

function invalid(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
