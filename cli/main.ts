/** Dispatches `hybridserve <command>`. */
import { didYouMean } from "../proto/suggest.ts";
import { type Command, type CommandIo, EXIT_OK, EXIT_USAGE } from "./command.ts";
import { packageVersion } from "./package-version.ts";

/** Each command's file is loaded when it is needed: one that lacks a library does not break the others. */
const COMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ["serve", async () => (await import("./serve.ts")).serveCommand],
  ["validate", async () => (await import("./validate.ts")).validateCommand],
  ["calibrate", async () => (await import("./calibrate.ts")).calibrateCommand],
  ["profile", async () => (await import("./profile.ts")).profileCommand],
  ["plan", async () => (await import("./plan.ts")).planCommand],
  ["simulate", async () => (await import("./simulate.ts")).simulateCommand],
  ["doctor", async () => (await import("./doctor.ts")).doctorCommand],
]);

/** Runs the command named first; resolves with the exit code (0 ok, 1 failed, 2 bad usage). */
export async function main(argv: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    io.stderr(await generalHelp());
    return EXIT_USAGE;
  }
  if (name === "--help" || name === "-h" || name === "help") {
    const load = COMMANDS.get(rest[0] ?? "");
    io.stdout(load === undefined ? await generalHelp() : (await load()).help);
    return EXIT_OK;
  }
  if (name === "--version" || name === "-v") {
    io.stdout(`${packageVersion()}\n`);
    return EXIT_OK;
  }
  const load = COMMANDS.get(name);
  if (load === undefined) {
    const hint = didYouMean(name, COMMANDS.keys());
    io.stderr(`hybridserve: unknown command "${name}"${hint}\nSee: hybridserve --help\n`);
    return EXIT_USAGE;
  }
  const command = await load();
  return command.run(rest, io);
}

async function generalHelp(): Promise<string> {
  const commands = await Promise.all([...COMMANDS.values()].map((load) => load()));
  const width = Math.max(...commands.map(({ name }) => name.length)) + 2;
  return [
    "Usage: hybridserve COMMAND [flags]",
    "",
    "An inference server for cascades of small and giant models; speaks the Triton / KServe v2 protocol.",
    "",
    "Commands:",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`),
    "",
    "Example:",
    "  hybridserve serve --model-repository ./models",
    "",
    "hybridserve COMMAND --help tells about one command; --version prints the version.",
    "Exit codes: 0 ok, 1 failed, 2 bad usage.",
    "",
  ].join("\n");
}
