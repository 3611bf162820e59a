/** Load and memory of the machine from /proc, for the nv_cpu_* gauges. */
import { readFile } from "node:fs/promises";

/** Ticks of all cores since boot. */
export interface CpuTicks {
  readonly busy: number;
  readonly total: number;
}

export interface MemoryUsage {
  readonly totalBytes: number;
  /** Total less what is available, as Triton counts. */
  readonly usedBytes: number;
}

/** The first line of /proc/stat: user nice system idle iowait irq softirq steal; undefined when it is not that. */
export function parseCpuTicks(stat: string): CpuTicks | undefined {
  const fields = /^cpu\s+([\d ]+)/.exec(stat)?.[1]?.trim().split(/\s+/).slice(0, 8).map(Number);
  if (fields === undefined || fields.length < 5) return undefined;
  const total = fields.reduce((sum, ticks) => sum + ticks, 0);
  return { total, busy: total - (fields[3] ?? 0) - (fields[4] ?? 0) };
}

/** /proc/meminfo; undefined when the two lines that count are missing. */
export function parseMemoryUsage(meminfo: string): MemoryUsage | undefined {
  const bytesOf = (name: string) => {
    const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(meminfo)?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  };
  const totalBytes = bytesOf("MemTotal");
  const available = bytesOf("MemAvailable");
  if (totalBytes === undefined || available === undefined) return undefined;
  return { totalBytes, usedBytes: totalBytes - available };
}

/** Share of busy time between two readings, 0 to 1; 0 where no time passed. */
export function utilization(before: CpuTicks, after: CpuTicks): number {
  const total = after.total - before.total;
  return total > 0 ? (after.busy - before.busy) / total : 0;
}

/** The gauges' values at one scrape. */
export interface MachineUsage {
  readonly utilization: number;
  readonly memory: MemoryUsage;
}

/** Reads the machine's usage at most once an interval, when asked. */
export class MachineMeter {
  readonly #intervalMs: number;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #ticks: CpuTicks | undefined;
  #usage: MachineUsage | undefined;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** Undefined where there is no /proc. The first load is the mean since boot. */
  async read(nowMs: number): Promise<MachineUsage | undefined> {
    if (nowMs - this.#readAtMs < this.#intervalMs) return this.#usage;
    this.#readAtMs = nowMs;
    try {
      const ticks = parseCpuTicks(await readFile("/proc/stat", "utf8"));
      const memory = parseMemoryUsage(await readFile("/proc/meminfo", "utf8"));
      if (ticks === undefined || memory === undefined) return undefined;
      this.#usage = { utilization: utilization(this.#ticks ?? { busy: 0, total: 0 }, ticks), memory };
      this.#ticks = ticks;
      return this.#usage;
    } catch {
      // Not Linux: the gauges are absent.
      return undefined;
    }
  }
}
