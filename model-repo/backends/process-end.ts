/** How a child process ended, in words for the operator. */
import type { ProcessLimits } from "./process-command.ts";

export interface ProcessEnd {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** The last line it printed as an error; "" for none. */
  readonly lastLine: string;
  readonly limits: ProcessLimits;
}

/** `killed by SIGKILL`, `exit code 1 (taskset: ...)`; names the memory limit where it explains the end. */
export function describeEnd({ exitCode, signal, lastLine, limits }: ProcessEnd): string {
  const how = signal === null ? `exit code ${exitCode}` : `killed by ${signal}`;
  const end = lastLine === "" ? how : `${how} (${lastLine.trim()})`;
  return isOutOfMemory(lastLine) ? withLimit(end, limits.memoryLimitBytes) : end;
}

/** Adds the memory limit to a text that tells of failed allocations; any other stays as it is. */
export function explainMemory(text: string, limits: ProcessLimits): string {
  return isOutOfMemory(text) ? withLimit(text, limits.memoryLimitBytes) : text;
}

/** Texts of onnxruntime, the C++ library and V8 for memory that they did not get. */
const OUT_OF_MEMORY = /bad.?alloc|failed to allocate|out of memory|cannot allocate memory|allocation failed/i;

function isOutOfMemory(text: string): boolean {
  return OUT_OF_MEMORY.test(text);
}

function withLimit(text: string, memoryLimitBytes: number | undefined): string {
  if (memoryLimitBytes === undefined) return text;
  return `${text}; it needs more than its memory limit of ${mebibytes(memoryLimitBytes)} MiB`;
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
