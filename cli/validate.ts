/** `hybridserve validate`: checks model repositories without serving them. */
import { availableParallelism } from "node:os";
import { relative } from "node:path";
import { parseArgs } from "node:util";
import {
  inspectRepositories,
  type ModelReport,
  type ReportedCertificate,
  type ReportedProblem,
  type RepositoryReport,
} from "../model-repo/config/inspect-repository.ts";
import { InferenceError } from "../proto/errors.ts";
import { type Command, type CommandIo, EXIT_FAILED, EXIT_OK, parseErrorText, usageError } from "./command.ts";

const FORMAT_VERSION = 1;

/** Triton's default for models that batch and do not say how much. */
const DEFAULT_MAX_BATCH_SIZE = 4;

const HELP = `Usage: hybridserve validate --model-repository DIR [flags]

Checks every configuration, model file, label file and cascade of a model repository without serving it. Says for each
problem where it is, what is wrong and what to do; models whose backend does not run here come first. Certificates of
cascades are compared with the files of their levels; whether the levels still answer the same is seen when they run.

Flags:
  --model-repository DIR          the repository; may be repeated (also: --model-store)
  --model-config-name NAME        read configs/NAME.pbtxt instead of config.pbtxt where it exists
  --disable-auto-complete-config  take configurations as they are, without completing them from the model file
  --allow-uncertified             accept cascades at operating points without a certificate
  --json                          print the findings as JSON
  --help                          print this

Example:
  hybridserve validate --model-repository ./models

Exit codes: 0 everything can be served, 1 something cannot, 2 bad usage.
`;

const OPTIONS = {
  "model-repository": { type: "string", multiple: true },
  "model-store": { type: "string", multiple: true },
  "model-config-name": { type: "string" },
  "disable-auto-complete-config": { type: "boolean", default: false },
  "allow-uncertified": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

export const validateCommand: Command = {
  name: "validate",
  summary: "check a model repository without serving it",
  help: HELP,
  run: validate,
};

async function validate(argv: readonly string[], io: CommandIo): Promise<number> {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(argv);
  } catch (error) {
    return usageError(io, "validate", parseErrorText(error, Object.keys(OPTIONS)));
  }
  if (values.help) {
    io.stdout(HELP);
    return EXIT_OK;
  }
  const repositories = [...(values["model-repository"] ?? []), ...(values["model-store"] ?? [])];
  if (repositories.length === 0) return usageError(io, "validate", "name a repository with --model-repository DIR");
  const configName = values["model-config-name"];
  let report: RepositoryReport;
  try {
    report = await inspectRepositories({
      repositories,
      ...(configName === undefined ? {} : { configName }),
      autoComplete: !values["disable-auto-complete-config"],
      defaultMaxBatchSize: DEFAULT_MAX_BATCH_SIZE,
      allowUncertified: values["allow-uncertified"],
      coreCount: availableParallelism(),
    });
  } catch (error) {
    io.stderr(`error: ${InferenceError.from(error).message}\n`);
    return EXIT_FAILED;
  }
  io.stdout(values.json ? toJson(repositories, report) : toText(repositories, report));
  return report.models.every((model) => model.problems.length === 0) ? EXIT_OK : EXIT_FAILED;
}

function parse(argv: readonly string[]) {
  return parseArgs({ args: [...argv], options: OPTIONS, strict: true, allowPositionals: false }).values;
}

function toJson(repositories: readonly string[], { models, ignored }: RepositoryReport): string {
  const ok = models.every((model) => model.problems.length === 0);
  return `${JSON.stringify({ formatVersion: FORMAT_VERSION, repositories, ok, models, ignored }, null, 2)}\n`;
}

function toText(repositories: readonly string[], { models, ignored }: RepositoryReport): string {
  const foreign = models.filter((model) => model.cannotRunHere);
  const failed = models.filter((model) => !model.cannotRunHere && model.problems.length > 0);
  const sound = models.filter((model) => model.problems.length === 0);
  const lines: string[] = [];
  if (foreign.length > 0) lines.push("Cannot run here:", ...foreign.flatMap((model) => modelLines(model)), "");
  if (failed.length > 0) lines.push("To be mended:", ...failed.flatMap((model) => modelLines(model)), "");
  if (sound.length > 0) lines.push("Ready to serve:", ...sound.flatMap((model) => modelLines(model)), "");
  if (ignored.length > 0) {
    lines.push("Ignored, their names cannot be model names:", ...ignored.map((path) => `  ${shorten(path)}`), "");
  }
  const problems = models.reduce((sum, model) => sum + model.problems.length, 0);
  const where = repositories.join(", ");
  if (models.length === 0)
    lines.push(`No models in ${where}: a model is a directory with config.pbtxt or 1/model.onnx.`);
  else if (problems === 0) lines.push(`${counted(models.length, "model")} in ${where}: all can be served.`);
  else {
    lines.push(
      `${counted(models.length, "model")} in ${where}: ${foreign.length + failed.length} cannot be served, ` +
        `${counted(problems, "problem")}.`,
    );
  }
  return `${lines.join("\n")}\n`;
}

function modelLines(model: ModelReport): string[] {
  const details = [
    ...(model.backend === "" ? [] : [model.backend]),
    ...(model.versions.length === 0
      ? []
      : [`version${model.versions.length > 1 ? "s" : ""} ${model.versions.join(", ")}`]),
  ];
  return [
    `  ${model.name}${details.length === 0 ? "" : ` (${details.join(", ")})`}`,
    ...model.problems.flatMap(problemLines),
    ...model.certificates.map(certificateLine),
    ...model.warnings.map((warning) => `    note: ${warning}`),
  ];
}

function certificateLine({ version, operatingPoint, state, reason }: ReportedCertificate): string {
  return `    version ${version}, operating point ${operatingPoint}: ${state}${reason === "" ? "" : ` (${reason})`}`;
}

function problemLines({ place, text, hint }: ReportedProblem): string[] {
  // A text that names its place already needs no second one.
  const head = text.includes(place) ? text : `${shorten(place)}: ${text}`;
  return [`    ${head}`, ...(hint === "" ? [] : [`      -> ${hint}`])];
}

/** A path as a user would type it from here. */
function shorten(path: string): string {
  const short = relative(process.cwd(), path);
  return short !== "" && !short.startsWith("..") ? short : path;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
