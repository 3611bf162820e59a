/** What is wrong with a configuration or a model file: found by pure checks, reported all at once or thrown one by one. */
import { type ErrorCode, InferenceError } from "../../proto/errors.ts";

export interface Problem {
  readonly code: ErrorCode;
  /** Triton's words where Triton has words for it. */
  readonly text: string;
  /** Field of the configuration, such as `input[0].dims`; "" where none is to blame. */
  readonly path: string;
  /** What to do about it; "" where the text says so. */
  readonly hint: string;
}

/** Where a configuration was read. */
export interface ConfigSource {
  readonly file: string;
  /** Line of a field or of what encloses it; undefined where the file does not say it. */
  lineOf(path: string): number | undefined;
}

/** A problem with the configuration or the model, INVALID_ARGUMENT as almost all are. */
export function problem(path: string, text: string, hint = "", code: ErrorCode = "INVALID_ARGUMENT"): Problem {
  return { code, text, path, hint };
}

/** `file:line` of a problem; undefined where no line is to blame. */
export function placeOf(source: ConfigSource, path: string): string | undefined {
  const line = path === "" ? undefined : source.lineOf(path);
  return line === undefined ? undefined : `${source.file}:${line}`;
}

/** The problem as an error: its text and, where known, ` (file:line)`. */
export function toError(source: ConfigSource, found: Problem): InferenceError {
  const place = placeOf(source, found.path);
  return new InferenceError(found.code, place === undefined ? found.text : `${found.text} (${place})`);
}

/** Throws the first of the problems, if there is one. */
export function throwFirst(source: ConfigSource, problems: readonly Problem[]): void {
  const [first] = problems;
  if (first !== undefined) throw toError(source, first);
}
