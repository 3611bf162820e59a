/** Command line of the bench. */
import { parseArgs } from "node:util";

export const HELP = `Measures the server beside its two floors: a bare grpc-js echo and bare onnxruntime.

Usage: npm run bench -- [options]

  --quick              one short round: under a minute, rough figures
  --only NAMES         workloads, comma separated: identity-small, identity-image, fashion-l-b1, fashion-l-b8,
                       cascade-b1, cascade-b8, cascade-b32 (default: all)
  --concurrency LIST   requests in flight (default: 1,8,32,128)
  --connections N      connections of the load generator (default: 1)
  --seconds S          measured seconds per point and round (default: 1)
  --rounds N           rounds over all points; tables show medians (default: 3)
  --compare CHECKOUT   measures the server of another checkout beside this one, interleaved
  --cpu-prof DIR       writes a CPU profile of every server into DIR
  --json               prints the stored JSON instead of the table
  --help               this text

Example: npm run bench -- --only identity-small,fashion-l-b1 --concurrency 32 --compare ../hybridserve-main

Results are stored in bench/results/. What the figures mean: docs/benchmarks.md.`;

export interface Options {
  readonly only: readonly string[];
  readonly concurrencies: readonly number[];
  readonly connections: number;
  readonly warmupMs: number;
  readonly measureMs: number;
  /** Time of one run of bare onnxruntime. */
  readonly computeMs: number;
  readonly rounds: number;
  readonly compare: string | undefined;
  readonly cpuProf: string | undefined;
  readonly json: boolean;
  readonly help: boolean;
}

/** Parses the arguments; throws an error whose text says what is wrong with them. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      concurrency: { type: "string", default: "1,8,32,128" },
      connections: { type: "string", default: "1" },
      seconds: { type: "string" },
      rounds: { type: "string" },
      compare: { type: "string" },
      "cpu-prof": { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const measureMs = 1000 * positive("--seconds", values.seconds ?? (values.quick ? "0.4" : "1"));
  return {
    only: list(values.only ?? ""),
    concurrencies: list(values.concurrency).map((entry) => positiveInteger("--concurrency", entry)),
    connections: positiveInteger("--connections", values.connections),
    warmupMs: Math.min(250, measureMs / 4),
    measureMs,
    computeMs: Math.min(200, measureMs / 5),
    rounds: positiveInteger("--rounds", values.rounds ?? (values.quick ? "1" : "3")),
    compare: values.compare,
    cpuProf: values["cpu-prof"],
    json: values.json,
    help: values.help,
  };
}

function list(text: string): string[] {
  return text
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new Error(`${flag} takes a positive number, not "${text}"`);
  return value;
}

function positiveInteger(flag: string, text: string): number {
  const value = positive(flag, text);
  if (!Number.isInteger(value)) throw new Error(`${flag} takes whole numbers, not "${text}"`);
  return value;
}
