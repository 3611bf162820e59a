/** Command line of the planner's example. */
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { CHECKOUT } from "../../bench/environment.ts";
import { type Family, FULL_FAMILY, SMALL_FAMILY } from "./family.ts";

export const HELP = `Usage: npm run demo:planner [-- flags]

Plans a cascade whose largest model fits no device, serves it by the plan, loads it and compares with the prediction.

Flags:
  --quick       short measurements: shows that it works, the figures are rough
  --full        bert-mini, bert-base, bert-large: 3 cores, 8 GB of memory and disk
  --keep        leaves models, stages and measurements; the next run goes on with what was measured
  --folder DIR  where everything is written (default examples/planner/.generated)
  --json        the outcome as JSON on standard output
  --help        this text
`;

/** How much is measured. */
export interface Effort {
  readonly family: Family;
  /** Labelled rows for calibration. */
  readonly rows: number;
  readonly maxDrop: number;
  readonly profileSamples: number;
  readonly stageSamples: number;
  readonly simulatedRequests: number;
  readonly objectiveMs: number;
  /** Rows of the requests, a multiple of 100: asked of the giant alone, of the cascade, and over and over as load. */
  readonly askedRows: number;
  /** Of the predicted throughput. */
  readonly loadShare: number;
  readonly warmupMs: number;
  readonly openMs: number;
  readonly closedMs: number;
}

export interface Options {
  readonly effort: Effort;
  readonly keeps: boolean;
  readonly folder: string;
  readonly json: boolean;
}

const SMALL: Effort = {
  family: SMALL_FAMILY,
  rows: 800,
  maxDrop: 0.02,
  profileSamples: 60,
  stageSamples: 20,
  simulatedRequests: 50_000,
  objectiveMs: 1000,
  askedRows: 200,
  loadShare: 0.7,
  warmupMs: 3000,
  openMs: 40_000,
  closedMs: 15_000,
};

const QUICK: Effort = {
  ...SMALL,
  rows: 340,
  maxDrop: 0.05,
  profileSamples: 8,
  stageSamples: 4,
  simulatedRequests: 10_000,
  // A machine that does other things at the same time still finds a plan.
  objectiveMs: 10_000,
  askedRows: 100,
  loadShare: 0.4,
  warmupMs: 500,
  openMs: 4000,
  closedMs: 2000,
};

const FULL: Effort = { ...SMALL, family: FULL_FAMILY, objectiveMs: 3000, stageSamples: 10 };

/** "help" where help was asked for; throws with what is wrong. */
export function parseOptions(argv: readonly string[]): Options | "help" {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: "boolean", default: false },
      full: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      folder: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  if (values.quick && values.full) throw new Error("--quick and --full exclude each other");
  const effort = values.quick ? QUICK : values.full ? FULL : SMALL;
  const folder = values.folder ?? relative(process.cwd(), join(CHECKOUT, "examples/planner/.generated"));
  return { effort, keeps: values.keep, folder, json: values.json };
}
