/** Flags of `hybridserve calibrate`. */
import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { HopelessAction } from "../../planner/cascade/cell-table.ts";
import type { CertifiedMetric } from "../../planner/cascade/certify.ts";
import { InferenceError } from "../../proto/errors.ts";
import { CERTIFIED_METRICS } from "../../proto/files/cascade-file.ts";

export const CALIBRATE_HELP = `Usage: hybridserve calibrate --model-repository DIR --model CASCADE --data SET [flags]

Runs every level of a cascade over labelled rows that no level was trained on, fits confidences, searches thresholds and
certifies how much accuracy the cascade loses against its last level at most. Writes a new version of the cascade
(cascade.json, golden.npz, perf-data.json, report.html) that a running server picks up in poll or explicit mode.

Data (--data):
  FILE.npz                        arrays named as the cascade's inputs, and labels [n]; or recorded outputs level0, level1, ...
                                  [n, classes] and labels, for levels that run elsewhere
  images-idx3-ubyte[.gz]          IDX images, labels beside them or --labels
  DIR                             PNG or JPEG images with labels.csv (file,label)
  FILE.json                       perf_analyzer's input data with validation_data

Flags:
  --model-repository DIR          the repository; may be repeated (also: --model-store)
  --model NAME                    the cascade
  --levels A,B,C                  make NAME a new cascade of these models, the smallest first
  --data SET                      labelled rows, see above
  --labels FILE                   labels of IDX images
  --scale X                       factor for whole numbers that become floats (default 1/255 for images, 1 for .npz)
  --group-by NAME                 array of the .npz that names each row's group (user, document); groups stay together
  --url HOST:PORT                 run the levels on this KServe v2 server (gRPC) instead of here
  --confidence NAME               auto (default), keep, or a function: max_prob, margin, entropy, temperature, platt,
                                  platt_bin, isotonic, logistic_topk, benefit; min_token, mean_log, quantile
  --max-drop X                    largest drop of accuracy to certify (default 0.005: half a point)
  --risk X                        chance that the promise is wrong (default 0.05)
  --metric gap|harm               what is certified: the drop (default), or rows that only the last level gets right
  --hopeless accept               also search a band of rows that are answered early because nothing helps them
  --budget X                      also make a point that costs at most X of the last level (0.1: a tenth); may be repeated
  --costs A,B,C                   cost of a row at each level instead of the measured one
  --cost-unit NAME                unit of --costs (default joules)
  --i-held-this-out               the rows are held out although the last level is nearly always right on them
  --cache DIR                     where outputs of levels are kept (default ~/.cache/hybridserve/calibrate); "" for none
  --dry-run                       write no version; only the use of the certify rows is counted
  --json                          print the result as JSON
  --help                          print this

Examples:
  hybridserve calibrate --model-repository ./models --model fashion --data heldout.npz --max-drop 0.005
  hybridserve calibrate --model-repository ./models --model mine --levels small,medium,large --data heldout.npz

Exit codes: 0 done (also where nothing could be certified: the last level alone is then the default), 1 failed, 2 bad usage.
`;

export const CALIBRATE_OPTIONS = {
  "model-repository": { type: "string", multiple: true },
  "model-store": { type: "string", multiple: true },
  model: { type: "string" },
  levels: { type: "string" },
  data: { type: "string" },
  labels: { type: "string" },
  scale: { type: "string" },
  "group-by": { type: "string" },
  url: { type: "string" },
  confidence: { type: "string", default: "auto" },
  "max-drop": { type: "string", default: "0.005" },
  risk: { type: "string", default: "0.05" },
  metric: { type: "string", default: "gap" },
  hopeless: { type: "string" },
  budget: { type: "string", multiple: true },
  costs: { type: "string" },
  "cost-unit": { type: "string", default: "joules" },
  "i-held-this-out": { type: "boolean", default: false },
  cache: { type: "string" },
  "dry-run": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

export interface CalibrateOptions {
  readonly repositories: readonly string[];
  readonly model: string;
  /** Models of a new cascade; empty: it is there. */
  readonly levels: readonly string[];
  readonly data: string;
  readonly labels: string | undefined;
  readonly scale: number | undefined;
  readonly groupBy: string | undefined;
  readonly url: string | undefined;
  readonly confidence: string;
  readonly maxDrop: number;
  readonly risk: number;
  readonly metric: CertifiedMetric;
  readonly hopeless: HopelessAction;
  readonly budgets: readonly number[];
  /** Given costs of a row, in `costUnit`; undefined: measured. */
  readonly costs: readonly number[] | undefined;
  readonly costUnit: string;
  readonly heldOut: boolean;
  /** "": no cache. */
  readonly cacheDirectory: string;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** Throws INVALID_ARGUMENT with one line for what is wrong; "help" where help was asked for. */
export function parseCalibrateOptions(argv: readonly string[]): CalibrateOptions | "help" {
  const values = parseArgs({ args: [...argv], options: CALIBRATE_OPTIONS, strict: true }).values;
  if (values.help) return "help";
  const repositories = [...(values["model-repository"] ?? []), ...(values["model-store"] ?? [])];
  if (repositories.length === 0) throw invalid("name a repository with --model-repository DIR");
  return {
    repositories,
    model: needed(values.model, "name the cascade with --model NAME"),
    levels: list(values.levels),
    data: needed(values.data, "name labelled rows with --data SET"),
    labels: values.labels,
    scale: values.scale === undefined ? undefined : number(values.scale, "--scale", 0, Number.MAX_VALUE),
    groupBy: values["group-by"],
    url: values.url,
    confidence: values.confidence,
    maxDrop: number(values["max-drop"], "--max-drop", 0, 0.5),
    risk: number(values.risk, "--risk", 1e-9, 0.5),
    metric: oneOf(values.metric, "--metric", CERTIFIED_METRICS),
    hopeless: values.hopeless === undefined ? null : oneOf(values.hopeless, "--hopeless", ["accept"] as const),
    budgets: (values.budget ?? []).map((text) => number(text, "--budget", 0, 1)),
    costs: values.costs === undefined ? undefined : list(values.costs).map((text) => number(text, "--costs", 0, 1e30)),
    costUnit: values["cost-unit"],
    heldOut: values["i-held-this-out"],
    cacheDirectory: values.cache ?? join(homedir(), ".cache", "hybridserve", "calibrate"),
    dryRun: values["dry-run"],
    json: values.json,
  };
}

function needed(value: string | undefined, complaint: string): string {
  if (value === undefined || value === "") throw invalid(complaint);
  return value;
}

function list(text: string | undefined): string[] {
  return text === undefined ? [] : text.split(",").map((item) => item.trim());
}

function number(text: string, flag: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= least && value <= most) return value;
  throw invalid(`${flag} '${text}' must be a number between ${least} and ${most}`);
}

function oneOf<T extends string>(text: string, flag: string, choices: readonly T[]): T {
  const choice = choices.find((each) => each === text);
  if (choice === undefined) throw invalid(`${flag} '${text}' must be one of ${choices.join(", ")}`);
  return choice;
}

function invalid(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
