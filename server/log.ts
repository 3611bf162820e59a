/** The server's log: one JSON object a line, by pino, filtered by the `--log-*` flags. */
import { destination, pino, stdTimeFunctions } from "pino";
import type { Log } from "../model-repo/log.ts";
import { InferenceError } from "../proto/errors.ts";
import type { LogOptions } from "./options/serve-options.ts";

/** Code points of a field that may hold a user's text. */
const MAX_FIELD = 256;
/** Code points of a line's message, of a reason and of a stack: texts of our own around such fields. */
const MAX_TEXT = 4_096;

export interface ServerLog extends Log {
  debug(fields: object, text: string): void;
  /** Writes out what is left. */
  close(): void;
}

/** Opens the log; throws when its file cannot be written. Lines are written at once: there are few of them. */
export function openLog(options: LogOptions): ServerLog {
  const output = openDestination(options.file);
  output.on("error", () => undefined);
  const logger = pino(
    {
      level: options.verbose ? "debug" : "info",
      timestamp: options.isoTime ? stdTimeFunctions.isoTime : stdTimeFunctions.epochTime,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
    },
    output,
  );
  const nothing = () => undefined;
  return {
    debug: options.verbose ? (fields, text) => logger.debug(capped(fields), cap(text, MAX_TEXT)) : nothing,
    info: options.info ? (fields, text) => logger.info(capped(fields), cap(text, MAX_TEXT)) : nothing,
    warn: options.warning ? (fields, text) => logger.warn(capped(fields), cap(text, MAX_TEXT)) : nothing,
    error: options.error ? (fields, text) => logger.error(capped(fields), cap(text, MAX_TEXT)) : nothing,
    close: () => quietly(() => output.flushSync()),
  };
}

/** A full disk or a closed pipe loses lines, never the server. */
function quietly(write: () => void): void {
  try {
    write();
  } catch {
    // Nobody is left to tell.
  }
}

function openDestination(file: string) {
  try {
    return file === "" ? destination({ dest: 2, sync: true }) : destination({ dest: file, sync: true, append: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `--log-file: cannot write ${file}: ${reason}; name a file in a folder that exists`,
    );
  }
}

/** Text fields cut short: names and texts in them may come from a client. */
function capped(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      typeof value === "string" ? cap(value, key === "stack" || key === "reason" ? MAX_TEXT : MAX_FIELD) : value,
    ]),
  );
}

/** At most `length` code points of a text, well-formed. */
export function cap(text: string, length: number): string {
  if (text.length <= length) return text.toWellFormed();
  let end = 0;
  let count = 0;
  for (const character of text.toWellFormed()) {
    if (++count > length) return `${text.slice(0, end).toWellFormed()}…`;
    end += character.length;
  }
  return text.toWellFormed();
}
