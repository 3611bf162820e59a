/** What the kernel says of a process' memory and CPU time (Linux, /proc/<pid>). */
import { readFileSync } from "node:fs";

export interface ProcessMemory {
  /** Memory in use, shared pages included. */
  readonly residentBytes: number;
  /** Most that was ever in use. */
  readonly peakResidentBytes: number;
  /** Writable private memory, what a memory limit counts. */
  readonly dataBytes: number;
}

/** undefined where the process is gone or the system has no /proc. */
export function readProcessMemory(pid: number): ProcessMemory | undefined {
  const text = readIfThere(`/proc/${pid}/status`);
  return text === undefined ? undefined : parseProcessStatus(text);
}

/** CPU seconds of all its threads since it started, in steps of 10 ms; undefined where the process is gone. */
export function readProcessCpuSeconds(pid: number): number | undefined {
  const text = readIfThere(`/proc/${pid}/stat`);
  return text === undefined ? undefined : parseCpuSeconds(text);
}

/** Of /proc/<pid>/stat: user and system time, fields 14 and 15 (proc(5)); the name before them may hold anything. */
export function parseCpuSeconds(text: string): number {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** USER_HZ, the same on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** undefined for a process that has ended and waits to be collected: it has no memory. */
export function parseProcessStatus(text: string): ProcessMemory | undefined {
  const bytesOf = (field: string): number | undefined => {
    const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  };
  const residentBytes = bytesOf("VmRSS");
  const peakResidentBytes = bytesOf("VmHWM");
  const dataBytes = bytesOf("VmData");
  if (residentBytes === undefined || peakResidentBytes === undefined || dataBytes === undefined) return undefined;
  return { residentBytes, peakResidentBytes, dataBytes };
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH"))
      return undefined;
    throw error;
  }
}
