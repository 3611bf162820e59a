/** The command line of an instance's process: core set, memory limit and parent's death through util-linux' tools. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { InferenceError } from "../../proto/errors.ts";

/** What a child process is held to. */
export interface ProcessLimits {
  /** Core set as `taskset -c` takes it: `0-3,8`; absent: every core of the server. */
  readonly cpus?: string | undefined;
  /** Most private memory of the process; absent: none but the machine's. */
  readonly memoryLimitBytes?: number | undefined;
}

export interface ProcessCommand {
  readonly file: string;
  readonly args: readonly string[];
}

/** Finds a program by name: its path, or undefined where it is not installed. */
export type FindProgram = (name: string) => string | undefined;

/** Node and onnxruntime without a model take 85 MiB (measured); with much less Node stands still while it starts. */
const SMALLEST_LIMIT_BYTES = 96 * 2 ** 20;

const CPUS = /^\d+(-\d+(:\d+)?)?(,\d+(-\d+(:\d+)?)?)*$/;

/** Throws where limits can hold on no machine: INVALID_ARGUMENT, RESOURCE_EXHAUSTED for too little memory. */
export function checkLimits({ cpus, memoryLimitBytes }: ProcessLimits): void {
  if (cpus !== undefined && !CPUS.test(cpus)) {
    throw new InferenceError("INVALID_ARGUMENT", `core set '${cpus}' is not a list such as '0-3,8'`);
  }
  if (memoryLimitBytes !== undefined && memoryLimitBytes < SMALLEST_LIMIT_BYTES) {
    const text = `the memory limit of ${(memoryLimitBytes / 2 ** 20).toFixed(0)} MiB is too small`;
    throw new InferenceError(
      "RESOURCE_EXHAUSTED",
      `${text}: a process needs ${SMALLEST_LIMIT_BYTES / 2 ** 20} MiB before it holds a model`,
    );
  }
}

/**
 * Wraps a command: it is pinned to its cores, its private memory is limited (RLIMIT_DATA: writable private mappings,
 * heap and stacks, which is what weights and arenas are), and it is killed when the server dies even while it hangs in
 * native code. UNAVAILABLE where a limit was asked for and the tool for it is missing.
 */
export function limitedCommand(command: ProcessCommand, limits: ProcessLimits, find: FindProgram): ProcessCommand {
  checkLimits(limits);
  const { cpus, memoryLimitBytes } = limits;
  let words = [command.file, ...command.args];
  if (memoryLimitBytes !== undefined) {
    words = [needed(find, "prlimit", "memory limit"), `--data=${memoryLimitBytes}:${memoryLimitBytes}`, ...words];
  }
  if (cpus !== undefined) words = [needed(find, "taskset", "core set"), "--cpu-list", cpus, ...words];
  // Without it a child notices the server's death by its closed socket, as soon as its run is over.
  const setpriv = find("setpriv");
  if (setpriv !== undefined) words = [setpriv, "--pdeathsig", "KILL", ...words];
  const [file = "", ...args] = words;
  return { file, args };
}

/** Looks in the folders of PATH. */
export function findProgram(name: string): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch (error) {
      if (!(error instanceof Error && "code" in error)) throw error; // not a failed system call
    }
  }
  return undefined;
}

function needed(find: FindProgram, tool: string, what: string): string {
  const path = find(tool);
  if (path !== undefined) return path;
  throw new InferenceError(
    "UNAVAILABLE",
    `a ${what} of an instance's process needs the program '${tool}', which is not installed; install util-linux, or ` +
      `leave the ${what} out`,
  );
}
