/** Flags of `hybridserve profile`. */
import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { MeterOptions } from "../../model-repo/meters/open-meters.ts";
import { InferenceError } from "../../proto/errors.ts";

export const PROFILE_HELP = `Usage: hybridserve profile --model-repository DIR --model NAME --output profile.json [flags]

Measures models for 'hybridserve plan': how long a batch takes, what memory it needs and, where there is an energy meter,
what it costs, for each batch size and class of devices. Models run as a plan runs them, in processes pinned to the
devices' cores and held to their memory; with idle gaps and all devices of a class busy, as in service. The machine should
do nothing else meanwhile. What was measured is kept: the same command goes on where it was stopped.

Flags:
  --model-repository DIR  the repository; may be repeated (also: --model-store)
  --model NAME            a model, or a cascade for all its levels; may be repeated
  --devices FILE          classes and devices ('hybridserve doctor --devices'); default: the cores of this machine
  --output FILE           the profile to write; classes that another machine measured stay in it
  --batch-sizes A,B,C     instead of 1, 2, 4 ... and the model's largest
  --samples N             runs of each batch size (default 100)
  --time-limit SECONDS    for all together (default 600); what is missing then is said in the profile
  --data FILE.npz         real rows, arrays named as the inputs; default: random ones
  --shape NAME:A,B        sizes of an input's free dimensions, the batch left out; may be repeated
  --no-graph              leave the graph out: the model will not be cut into stages
  --cache DIR             where measurements are kept (default ~/.cache/hybridserve/profile); "" for nowhere
  --sysfs-root DIR        the system's tree with the energy meters, where it is not /sys
  --nvml-library FILE     NVIDIA's libnvidia-ml, where the loader does not find it
  --json                  print the profile as JSON
  --help                  print this

Examples:
  hybridserve doctor --devices --output devices.json
  hybridserve profile --model-repository ./models --model fashion --devices devices.json --output profile.json

Exit codes: 0 done (also where the time ended it), 1 failed, or no model ran on any device, 2 bad usage.
`;

export const PROFILE_OPTIONS = {
  "model-repository": { type: "string", multiple: true },
  "model-store": { type: "string", multiple: true },
  model: { type: "string", multiple: true },
  devices: { type: "string" },
  output: { type: "string" },
  "batch-sizes": { type: "string" },
  samples: { type: "string", default: "100" },
  "time-limit": { type: "string", default: "600" },
  data: { type: "string" },
  shape: { type: "string", multiple: true },
  "no-graph": { type: "boolean", default: false },
  cache: { type: "string" },
  "sysfs-root": { type: "string" },
  "nvml-library": { type: "string" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

export interface ProfileOptions {
  readonly repositories: readonly string[];
  readonly models: readonly string[];
  /** undefined: what this machine has. */
  readonly devices: string | undefined;
  readonly output: string;
  /** Ascending; undefined: powers of two. */
  readonly batchSizes: readonly number[] | undefined;
  readonly samples: number;
  readonly timeLimitMs: number;
  /** undefined: random rows. */
  readonly data: string | undefined;
  /** Sizes of free dimensions by input. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly hasGraph: boolean;
  /** "": no cache. */
  readonly cacheDirectory: string;
  readonly meters: MeterOptions;
  readonly json: boolean;
}

const MOST_SAMPLES = 100_000;
const MOST_ROWS = 65_536;
const MOST_SECONDS = 30 * 24 * 3600;

/** Throws with one line for what is wrong; "help" where help was asked for. */
export function parseProfileOptions(argv: readonly string[]): ProfileOptions | "help" {
  const { values } = parseArgs({ args: [...argv], options: PROFILE_OPTIONS, strict: true });
  if (values.help) return "help";
  const repositories = [...(values["model-repository"] ?? []), ...(values["model-store"] ?? [])];
  if (repositories.length === 0) throw invalid("name a repository with --model-repository DIR");
  const models = [...new Set(values.model ?? [])];
  if (models.length === 0) throw invalid("name a model with --model NAME");
  if (values.output === undefined) throw invalid("say where the profile goes with --output profile.json");
  return {
    repositories,
    models,
    devices: values.devices,
    output: values.output,
    batchSizes: values["batch-sizes"] === undefined ? undefined : batchSizes(values["batch-sizes"]),
    samples: wholeNumber(values.samples, "--samples", 1, MOST_SAMPLES),
    timeLimitMs: wholeNumber(values["time-limit"], "--time-limit", 1, MOST_SECONDS) * 1000,
    data: values.data,
    shapes: new Map((values.shape ?? []).map(shape)),
    hasGraph: !values["no-graph"],
    cacheDirectory: values.cache ?? join(homedir(), ".cache", "hybridserve", "profile"),
    meters: {
      ...(values["sysfs-root"] === undefined ? {} : { sysfsRoot: values["sysfs-root"] }),
      ...(values["nvml-library"] === undefined ? {} : { nvmlLibrary: values["nvml-library"] }),
    },
    json: values.json,
  };
}

function batchSizes(text: string): number[] {
  const sizes = text.split(",").map((part) => wholeNumber(part.trim(), "--batch-sizes", 1, MOST_ROWS));
  return [...new Set(sizes)].sort((a, b) => a - b);
}

/** `ids:128` or `image:3,224,224`, as perf_analyzer takes it. */
function shape(text: string): [string, number[]] {
  const colon = text.lastIndexOf(":");
  if (colon < 1) throw invalid(`--shape '${text}' must be an input and its sizes, such as ids:128`);
  const sizes = text.slice(colon + 1).split(",");
  return [text.slice(0, colon), sizes.map((size) => wholeNumber(size.trim(), "--shape", 0, 2 ** 31))];
}

function wholeNumber(text: string, flag: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw invalid(`${flag} '${text}' must be a whole number between ${least} and ${most}`);
}

function invalid(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
