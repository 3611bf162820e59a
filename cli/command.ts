/** What every command of `hybridserve` is to the dispatcher, and the exit codes they share. */
import { didYouMean } from "../proto/suggest.ts";

export const EXIT_OK = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** Where a command writes: the process's streams, or a test's buffers. Texts carry their own line ends. */
export interface CommandIo {
  stdout(text: string): void;
  stderr(text: string): void;
  /** Cells of a line where both streams are a terminal; absent where they are not. */
  readonly terminalColumns?: number;
}

export interface Command {
  /** As typed: `hybridserve <name>`. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `--help` prints, an example included. */
  readonly help: string;
  /** Runs with the arguments after the command's name and returns the exit code; expected failures are not thrown. */
  run(argv: readonly string[], io: CommandIo): Promise<number>;
}

/** Reports a mistake in the command line and returns its exit code. */
export function usageError(io: CommandIo, command: string, message: string): number {
  io.stderr(`hybridserve ${command}: ${message}\nSee: hybridserve ${command} --help\n`);
  return EXIT_USAGE;
}

/** What a command line did not parse for: Node's text up to its first sentence, with the flag that may have been meant. */
export function parseErrorText(error: unknown, flags: Iterable<string>): string {
  const message = (error instanceof Error ? error.message : String(error)).split(". ")[0] ?? "";
  const flag = /'--([\w-]+)'/.exec(message)?.[1];
  const isUnknown = error instanceof Error && "code" in error && error.code === "ERR_PARSE_ARGS_UNKNOWN_OPTION";
  return isUnknown && flag !== undefined ? message + didYouMean(flag, flags, "--") : message;
}
