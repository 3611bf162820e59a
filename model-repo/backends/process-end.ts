/** How a child process or what it was asked for ended, in words for the operator. */
import type { ErrorCode } from "../../proto/errors.ts";
import type { ProcessLimits } from "./process-command.ts";

export interface ProcessEnd {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** What it printed about it; "" for nothing. */
  readonly lastLine: string;
  readonly limits: ProcessLimits;
}

/** `killed by SIGKILL`, `exit code 1 (taskset: ...)`; names the memory limit where it explains the end. */
export function describeEnd({ exitCode, signal, lastLine, limits }: ProcessEnd): string {
  const how = signal === null ? `exit code ${exitCode}` : `killed by ${signal}`;
  const end = lastLine === "" ? how : `${how} (${lastLine.trim()})`;
  return isOutOfMemory(lastLine) ? withLimit(end, limits.memoryLimitBytes) : end;
}

interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
}

/** RESOURCE_EXHAUSTED with the memory limit for a failure that tells of allocations; any other stays as it is. */
export function explainMemory({ code, message }: Failure, { memoryLimitBytes }: ProcessLimits): Failure {
  if (memoryLimitBytes === undefined || !isOutOfMemory(message)) return { code, message };
  return { code: "RESOURCE_EXHAUSTED", message: withLimit(message, memoryLimitBytes) };
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
