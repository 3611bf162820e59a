/** `hybridserve calibrate`: from labelled rows to a new, certified version of a cascade. */
import { relative } from "node:path";
import { buildCascadeFile } from "../planner/cascade/build-cascade-file.ts";
import { calibrateCascade, prepareSplits } from "../planner/cascade/calibrate.ts";
import { curveBounds } from "../planner/cascade/curve-bounds.ts";
import { InferenceError } from "../proto/errors.ts";
import { certifyLook, recordCertifyUse } from "./calibrate/certify-uses.ts";
import { collectData } from "./calibrate/collect-data.ts";
import { goldenRows } from "./calibrate/golden.ts";
import { levelProgress } from "./calibrate/level-progress.ts";
import { feasibilityText, warningsOf } from "./calibrate/notes.ts";
import {
  CALIBRATE_HELP,
  CALIBRATE_OPTIONS,
  type CalibrateOptions,
  parseCalibrateOptions,
} from "./calibrate/options.ts";
import { reportData } from "./calibrate/report-data.ts";
import { marginsText } from "./calibrate/summary.ts";
import { writeVersion } from "./calibrate/write-version.ts";
import { type Command, type CommandIo, EXIT_FAILED, EXIT_OK, parseErrorText, usageError } from "./command.ts";
import { perfAnalyzerData } from "./dataset/perf-data.ts";
import { calibrationReport } from "./report/calibration-report.ts";
import { calibrationTables } from "./terminal/calibration-tables.ts";
import { terminalStyles } from "./terminal/styles.ts";

const SEED = 1;
/** Rows in perf_analyzer's input file. */
const PERF_ROWS = 64;

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
    return usageError(io, "calibrate", parseErrorText(error, Object.keys(CALIBRATE_OPTIONS)));
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
  const feasible = feasibilityText(prepared, options);
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
  const hashes = Array.from(splits.certify, (row) => collected.contentHashes[row] ?? "");
  const look = certifyLook(prepared.certifyHash, hashes, new Date());
  const certifyUses =
    options.dryRun && options.levels.length > 0 ? 1 : await recordCertifyUse(collected.directory, look);
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
    warnings: warningsOf(data, prepared, calibrated, certifyUses),
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
    // Rows of one group are not independent, as this bound takes them to be.
    const curve = data.groups === null ? curveBounds(gates, calibrated.certify, options.risk) : null;
    const printed = { formatVersion: 1, directory: path ?? null, cascade: file, pairs: calibrated.pairs, curve };
    io.stdout(`${JSON.stringify(printed)}\n`);
    return;
  }
  const isTty = io.terminalColumns !== undefined;
  io.stdout(`\n${calibrationTables(report, terminalStyles({ isTty, environment: process.env }))}`);
  io.stdout(marginsText(file, calibrated, prepared.groups === null ? "rows" : "groups"));
  for (const warning of report.warnings) io.stdout(`\nnote: ${warning}\n`);
  if (path === undefined) io.stdout("Nothing but the count of uses was written (--dry-run).\n");
  else io.stdout(`Written: ${relative(process.cwd(), path) || path} (open report.html in a browser)\n`);
}
