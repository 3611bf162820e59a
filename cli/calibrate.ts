/** `hybridserve calibrate`: from labelled rows to a new, certified version of a cascade. */
import { relative } from "node:path";
import { buildCascadeFile } from "../planner/cascade/build-cascade-file.ts";
import {
  type CalibratedCascade,
  type CalibrationData,
  calibrateCascade,
  prepareSplits,
} from "../planner/cascade/calibrate.ts";
import { feasibility } from "../planner/cascade/certify.ts";
import { curveBounds } from "../planner/cascade/curve-bounds.ts";
import { InferenceError } from "../proto/errors.ts";
import { countCertifyUse } from "./calibrate/certify-uses.ts";
import { collectData } from "./calibrate/collect-data.ts";
import { goldenRows } from "./calibrate/golden.ts";
import { levelProgress } from "./calibrate/level-progress.ts";
import { CALIBRATE_HELP, type CalibrateOptions, parseCalibrateOptions } from "./calibrate/options.ts";
import { reportData } from "./calibrate/report-data.ts";
import { marginsText, percent } from "./calibrate/summary.ts";
import { writeVersion } from "./calibrate/write-version.ts";
import { type Command, type CommandIo, EXIT_FAILED, EXIT_OK, usageError } from "./command.ts";
import { perfAnalyzerData } from "./dataset/perf-data.ts";
import { calibrationReport } from "./report/calibration-report.ts";
import { calibrationTables } from "./terminal/calibration-tables.ts";
import { terminalStyles } from "./terminal/styles.ts";

const SEED = 1;
/** Rows in perf_analyzer's input file. */
const PERF_ROWS = 64;
/** Share of the last level's cost above which a level hardly pays. */
const DEAR_SHARE = 0.8;

export const calibrateCommand: Command = {
  name: "calibrate",
  summary: "fit, search and certify the thresholds of a cascade on labelled data",
  help: CALIBRATE_HELP,
  run: calibrate,
};

async function calibrate(argv: readonly string[], io: CommandIo): Promise<number> {
  let options: CalibrateOptions | "help";
  try {
    options = parseCalibrateOptions(argv);
  } catch (error) {
    return usageError(io, "calibrate", (error instanceof Error ? error.message : String(error)).split(". ")[0] ?? "");
  }
  if (options === "help") {
    io.stdout(CALIBRATE_HELP);
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

async function run(options: CalibrateOptions, argv: readonly string[], io: CommandIo): Promise<void> {
  const note = (text: string) => io.stderr(`${text}\n`);
  const collected = await collectData(
    options,
    note,
    levelProgress(io, () => performance.now()),
  );
  const { data } = collected;
  const prepared = prepareSplits(data, options.confidence);
  const { splits } = prepared;
  note(
    `${data.rowHashes.length} rows: ${splits.fit.length} fit confidences, ${splits.tune.length} choose thresholds, ` +
      `${splits.certify.length} certify`,
  );
  const feasible = feasibilityText(certifySamples(data, splits.certify), options);
  note(feasible);
  const search = {
    confidence: options.confidence,
    metric: options.metric,
    epsilon: options.maxDrop,
    risk: options.risk,
    hopeless: options.hopeless,
    seed: SEED,
    heldOut: options.heldOut,
  };
  const calibrated = calibrateCascade(data, prepared, search);
  if (!options.dryRun) await collected.prepareDirectory();
  // A look at these rows is a use, whether anything is written or not; a cascade that is not there yet has no uses.
  const certifyUses =
    options.dryRun && options.levels.length > 0 ? 1 : await countCertifyUse(collected.directory, prepared.certifyHash);
  const file = buildCascadeFile(data, prepared, calibrated, {
    ...search,
    budgets: options.budgets,
    certifyUses,
    calibration: {
      levelHashes: collected.levelHashes,
      provider: collected.provider,
      createdAt: new Date().toISOString(),
      command: `hybridserve calibrate ${argv.join(" ")}`,
    },
  });
  const report = reportData({
    options,
    collected,
    prepared,
    calibrated,
    file,
    certifyUses,
    feasibility: [feasible],
    warnings: [...(certifyUses > 1 ? [reuseText(certifyUses)] : []), ...levelWarnings(data, calibrated)],
  });
  const files = new Map<string, string | Uint8Array>([
    ["cascade.json", `${JSON.stringify(file, null, 1)}\n`],
    ["report.html", calibrationReport(report)],
  ]);
  if (collected.ran !== null) {
    const { inputs, runs } = collected.ran;
    files.set("golden.npz", goldenRows(inputs, data.levels, runs, splits.certify));
    files.set("perf-data.json", perfAnalyzerData(inputs, [...splits.certify.subarray(0, PERF_ROWS)]));
  }
  const path = options.dryRun ? undefined : await writeVersion(collected.directory, files);
  if (options.json) {
    const gates = calibrated.path.map((point) => point.gates);
    // Bounds of rows: groups are tested by their means.
    const curve = data.groups === null ? curveBounds(gates, calibrated.certify, options.risk) : null;
    const printed = { formatVersion: 1, directory: path ?? null, cascade: file, pairs: calibrated.pairs, curve };
    io.stdout(`${JSON.stringify(printed)}\n`);
    return;
  }
  const isTty = io.terminalColumns !== undefined;
  io.stdout(`\n${calibrationTables(report, terminalStyles({ isTty, environment: process.env }))}`);
  io.stdout(marginsText(file, calibrated));
  for (const warning of report.warnings) io.stdout(`\nnote: ${warning}\n`);
  if (path === undefined) io.stdout("Nothing but the count of uses was written (--dry-run).\n");
  else io.stdout(`Written: ${relative(process.cwd(), path) || path} (open report.html in a browser)\n`);
}

/** What is tested: rows, or groups where rows are grouped. */
function certifySamples({ groups }: CalibrationData, rows: Int32Array): number {
  return groups === null ? rows.length : new Set(rows.map((row) => groups[row] ?? 0)).size;
}

/** What so many rows can show, before the search. */
function feasibilityText(samples: number, { metric, risk, maxDrop }: CalibrateOptions): string {
  const { smallestMargin, marginAtTwoPercentDisagreement } = feasibility(samples, metric, risk);
  return (
    `${samples} rows can certify a ${metric} of ${percent(smallestMargin)} at best (no loss at all), about ` +
    `${percent(marginAtTwoPercentDisagreement)} where 2 % of the answers differ; asked: ${percent(maxDrop)}`
  );
}

/** Levels that make no cascade: dearer or better than the one that all are compared with. */
function levelWarnings({ levels, costs }: CalibrationData, { levelAccuracy }: CalibratedCascade): string[] {
  const last = levels.length - 1;
  const name = (k: number) => `level ${k} ('${levels[k]?.model}')`;
  const lastCost = costs[last]?.value ?? 0;
  const lastAccuracy = levelAccuracy[last]?.accuracy ?? 1;
  return levels
    .slice(0, last)
    .flatMap((_, k) => [
      ...((costs[k]?.value ?? 0) > DEAR_SHARE * lastCost
        ? [
            `${name(k)} costs nearly as much as the last level, or more: little can be saved. Levels go from small to ` +
              "large; where calls cost more than the models, raise max_batch_size, or give --costs.",
          ]
        : []),
      ...((levelAccuracy[k]?.interval[0] ?? 0) > lastAccuracy
        ? [`${name(k)} is right more often than the last level, which all are compared with: are the levels in order?`]
        : []),
    ]);
}

function reuseText(uses: number): string {
  return (
    `These certify rows were used ${uses} times for this cascade; a promise that was looked for repeatedly is weaker ` +
    "than its risk says."
  );
}
