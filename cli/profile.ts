/** `hybridserve profile`: how long models take and what they need, on each class of devices. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { openMeters } from "../model-repo/meters/open-meters.ts";
import { describeOnnxRuntime } from "../model-repo/onnx-providers.ts";
import { type MeasuredModel, readMeasuredModel } from "../model-repo/profile/open-model.ts";
import { InferenceError } from "../proto/errors.ts";
import { type DevicesFile, readDevicesFile } from "../proto/files/devices-file.ts";
import {
  type ModelProfile,
  type ProfiledRuntime,
  type ProfileFile,
  profileJson,
  readProfileFile,
} from "../proto/files/profile-file.ts";
import { locateCascade } from "./calibrate/locate-cascade.ts";
import { type Command, type CommandIo, EXIT_FAILED, EXIT_OK, parseErrorText, usageError } from "./command.ts";
import { inventoryOfThisMachine } from "./devices/write-devices.ts";
import { describeMachine } from "./machine.ts";
import { PROFILE_HELP, PROFILE_OPTIONS, type ProfileOptions, parseProfileOptions } from "./profile/options.ts";
import { ProfileCache } from "./profile/profile-cache.ts";
import { profileModels } from "./profile/profile-models.ts";
import { npzSource, randomSource } from "./profile/rows.ts";
import { readText } from "./read-text.ts";
import { profileTable } from "./terminal/profile-table.ts";
import { ProgressBar } from "./terminal/progress-bar.ts";

const PLAIN_COLUMNS = 100;
/** Load of other programs, in cores for each core, above which times are theirs too. */
const BUSY_LOAD = 0.25;

export const profileCommand: Command = {
  name: "profile",
  summary: "measure time, memory and energy of models on the devices of this machine",
  help: PROFILE_HELP,
  run: profile,
};

async function profile(argv: readonly string[], io: CommandIo): Promise<number> {
  let options: ProfileOptions | "help";
  try {
    options = parseProfileOptions(argv);
  } catch (error) {
    return usageError(io, "profile", parseErrorText(error, Object.keys(PROFILE_OPTIONS)));
  }
  if (options === "help") {
    io.stdout(PROFILE_HELP);
    return EXIT_OK;
  }
  try {
    return await run(options, io);
  } catch (error) {
    const { message } = InferenceError.from(error);
    io.stderr(`error: ${error instanceof InferenceError ? message : ((error as Error).stack ?? message)}\n`);
    return EXIT_FAILED;
  }
}

async function run(options: ProfileOptions, io: CommandIo): Promise<number> {
  const note = (text: string) => io.stderr(`${text}\n`);
  const { models, cascades } = await readModels(options, note);
  const inventory = await readInventory(options, note);
  const previous = await readPrevious(options, note);
  const runtime = await profiledRuntime();
  warnIfBusy(note);
  const meters = await openMeters(options.meters);
  let file: ProfileFile;
  try {
    const profiles = await profileModels({
      models,
      inventory,
      rows: options.data === undefined ? randomSource(options.shapes) : await npzSource(options.data),
      batchSizes: options.batchSizes,
      samples: options.samples,
      timeLimitMs: options.timeLimitMs,
      hasGraph: options.hasGraph,
      runtime,
      previous,
      cache: new ProfileCache(options.cacheDirectory, note),
      meters: meters.present,
      log: {
        info: () => undefined,
        // What a model or its runtime says; failures come as errors of their own.
        warn: (_fields, text) => note(`warning: ${text}`),
        error: (_fields, text) => note(`error: ${text}`),
      },
      nowMs: () => performance.now(),
      note,
      progress: (label, total) => progressBar(io, label, total),
    });
    file = {
      createdAt: new Date().toISOString(),
      runtime,
      models: [...othersOf(previous, runtime, models), ...profiles],
    };
  } finally {
    meters.close();
  }
  await write(options.output, profileJson(file));
  if (options.json) {
    io.stdout(profileJson(file));
  } else {
    io.stdout(`\n${profileTable(file)}`);
    io.stdout(`Written: ${options.output}. Next, with a workload.json:\n  ${nextCommand(options, cascades)}\n`);
  }
  const hasRun = file.models
    .slice(-models.length)
    .some(({ classes }) => classes.some(({ batches }) => batches.length > 0));
  if (!hasRun) note("error: no model ran on any device of this machine: see what stopped each, above");
  return hasRun ? EXIT_OK : EXIT_FAILED;
}

/** A cascade stands for its levels, as far as they run here: one on another server is that server's to measure. */
async function readModels(
  { repositories, models }: ProfileOptions,
  note: (text: string) => void,
): Promise<{ readonly models: readonly MeasuredModel[]; readonly cascades: readonly string[] }> {
  const levels = new Set<string>();
  const named = new Set<string>();
  const cascades: string[] = [];
  for (const name of models) {
    const cascade = await locateCascade(repositories, name).catch((error: unknown) => {
      if (error instanceof InferenceError && error.code === "NOT_FOUND") return undefined;
      throw error;
    });
    if (cascade?.file === undefined) named.add(name);
    else cascades.push(name);
    for (const { model } of cascade?.file?.levels ?? []) levels.add(model);
  }
  const found: MeasuredModel[] = [];
  for (const name of new Set([...levels, ...named])) {
    try {
      found.push(await readMeasuredModel(repositories, name));
    } catch (error) {
      const { code, message } = InferenceError.from(error);
      if (code !== "UNIMPLEMENTED" || named.has(name)) throw error;
      note(`note: left out: ${message}`);
    }
  }
  if (found.length === 0)
    throw new InferenceError("FAILED_PRECONDITION", "no model is left that could be profiled here");
  return { models: found, cascades };
}

/** The whole command that goes on from here; without a cascade the workload names the models. */
function nextCommand({ repositories, output, devices }: ProfileOptions, cascades: readonly string[]): string {
  return [
    "hybridserve plan",
    ...repositories.map((each) => `--model-repository ${each}`),
    `--profile ${output} --devices ${devices ?? "devices.json"} --workload workload.json`,
    ...cascades.slice(0, 1).map((name) => `--cascade ${name}`),
    "--objective throughput --output plan",
  ].join(" ");
}

async function readInventory({ devices }: ProfileOptions, note: (text: string) => void): Promise<DevicesFile> {
  if (devices === undefined) return inventoryOfThisMachine({}, note);
  return readDevicesFile(await readText(devices, "--devices"), devices);
}

/** undefined where there is no output yet, or none that can be read. */
async function readPrevious(
  { output }: ProfileOptions,
  note: (text: string) => void,
): Promise<ProfileFile | undefined> {
  const text = await readFile(output, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return readProfileFile(text, output);
  } catch (error) {
    note(`warning: what the output holds is replaced: ${InferenceError.from(error).message}`);
    return undefined;
  }
}

/** Models that were profiled before, by the same runtime, and are not now. */
function othersOf(
  previous: ProfileFile | undefined,
  { onnxruntime }: ProfiledRuntime,
  models: readonly MeasuredModel[],
): readonly ModelProfile[] {
  if (previous?.runtime.onnxruntime !== onnxruntime) return [];
  return previous.models.filter(({ name }) => !models.some(({ signature }) => signature.name === name));
}

async function profiledRuntime(): Promise<ProfiledRuntime> {
  const { version, providers } = await describeOnnxRuntime();
  const { cpuModel, cores } = describeMachine();
  return {
    onnxruntime: version,
    node: process.versions.node,
    providers: providers.filter(({ state }) => state !== "missing").map(({ name }) => name),
    machine: `${cpuModel}, ${cores} cores`,
  };
}

function warnIfBusy(note: (text: string) => void): void {
  const [load = 0] = loadavg();
  const { cores } = describeMachine();
  if (load < BUSY_LOAD * cores) return;
  note(
    `warning: other programs asked for ${load.toFixed(1)} of ${cores} cores in the last minute: times will be too long`,
  );
}

function progressBar(io: CommandIo, label: string, total: number): ProgressBar {
  return new ProgressBar({
    label,
    total,
    isTty: io.terminalColumns !== undefined,
    columns: io.terminalColumns ?? PLAIN_COLUMNS,
    write: (text) => io.stderr(text),
    nowMs: () => performance.now(),
  });
}

/** A half written profile is never seen. */
async function write(path: string, text: string): Promise<void> {
  try {
    await writeFile(`${path}.part`, text);
    await rename(`${path}.part`, path);
  } catch (error) {
    throw new InferenceError("UNAVAILABLE", `cannot write the profile: ${String(error)}`);
  }
}
