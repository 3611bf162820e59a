/** What the kernel says of a process' memory (Linux, /proc/<pid>/status). */
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
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/status`, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH"))
      return undefined;
    throw error;
  }
  return parseProcessStatus(text);
}

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
