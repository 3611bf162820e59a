/** CPU time and memory of process trees, and how busy the machine is, from Linux' /proc. Elsewhere: undefined. */
import { readdirSync, readFileSync } from "node:fs";

/** USER_HZ, which Linux fixes at 100 for every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** One line of /proc/<pid>/stat, as far as it matters here. */
export interface ProcessStat {
  readonly parent: number;
  /** utime + stime of the process, and of children that ended and were waited for, in clock ticks. */
  readonly ticks: number;
}

/** Parses /proc/<pid>/stat; the command name in brackets may itself hold blanks and brackets. */
export function parseProcessStat(line: string): ProcessStat {
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { parent: Number(fields[1]), ticks };
}

/** Seconds the whole machine has spent working, and seconds its host took away, since boot. */
export interface MachineUsage {
  readonly busySeconds: number;
  readonly stealSeconds: number;
}

/** Parses the first line of /proc/stat. */
export function parseMachineUsage(line: string): MachineUsage {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, steal = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return {
    busySeconds: (user + nice + system + irq + softIrq) / TICKS_PER_SECOND,
    stealSeconds: steal / TICKS_PER_SECOND,
  };
}

/** The process and all its live descendants. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of procEntries()) {
    const stat = readStat(entry);
    if (stat === undefined) continue;
    const siblings = children.get(stat.parent);
    if (siblings === undefined) children.set(stat.parent, [entry]);
    else siblings.push(entry);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** CPU seconds that the processes have used up to now (grain 10 ms); undefined where there is no /proc. */
export function cpuSeconds(pids: readonly number[]): number | undefined {
  let ticks: number | undefined;
  for (const pid of pids) {
    const stat = readStat(pid);
    if (stat !== undefined) ticks = (ticks ?? 0) + stat.ticks;
  }
  return ticks === undefined ? undefined : ticks / TICKS_PER_SECOND;
}

/** Resident memory of the processes in MB; undefined where there is no /proc. */
export function residentMb(pids: readonly number[]): number | undefined {
  let kilobytes: number | undefined;
  for (const pid of pids) {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? "");
    if (match !== null) kilobytes = (kilobytes ?? 0) + Number(match[1]);
  }
  return kilobytes === undefined ? undefined : kilobytes / 1024;
}

/** What the machine did since boot; undefined where there is no /proc. */
export function machineUsage(): MachineUsage | undefined {
  const text = read("/proc/stat");
  return text === undefined ? undefined : parseMachineUsage(text.slice(0, text.indexOf("\n")));
}

function readStat(pid: number): ProcessStat | undefined {
  const line = read(`/proc/${pid}/stat`);
  return line === undefined ? undefined : parseProcessStat(line);
}

function procEntries(): number[] {
  try {
    return readdirSync("/proc").map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

/** undefined for a process that has ended meanwhile and on systems without /proc. */
function read(file: string): string | undefined {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return undefined;
  }
}
