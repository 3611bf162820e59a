/** The physical cores of this machine, from the kernel's topology tree. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { coresOf } from "../../proto/core-list.ts";

/** One physical core, as far as this process may use it. */
export interface PhysicalCore {
  /** Numbers of its hardware threads, ascending. */
  readonly cpus: readonly number[];
  /** Highest clock rate in kHz; 0 where the kernel does not tell. Cores of different kinds differ here. */
  readonly maxKhz: number;
}

/**
 * Cores in the order of their first thread; threads of one core run on the same execution units and are one device. Where
 * there is no such tree (macOS) every usable number is a core.
 */
export function physicalCores(sysfsRoot: string, usable: ReadonlySet<number>): PhysicalCore[] {
  const directory = join(sysfsRoot, "devices", "system", "cpu");
  const cores = new Map<string, PhysicalCore>();
  for (const cpu of cpusIn(directory, usable)) {
    const siblings = readText(join(directory, `cpu${cpu}`, "topology", "thread_siblings_list"));
    const cpus = coresOf(siblings ?? String(cpu)).filter((sibling) => usable.has(sibling));
    const maxKhz = Number(readText(join(directory, `cpu${cpu}`, "cpufreq", "cpuinfo_max_freq")) ?? "0");
    const key = cpus.join(",");
    if (!cores.has(key)) cores.set(key, { cpus, maxKhz });
  }
  return [...cores.values()];
}

function cpusIn(directory: string, usable: ReadonlySet<number>): number[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    names = [];
  }
  const found = names.map((name) => Number(/^cpu(\d+)$/.exec(name)?.[1] ?? "-1")).filter((cpu) => usable.has(cpu));
  return (found.length > 0 ? found : [...usable]).sort((a, b) => a - b);
}

/** undefined where there is no such file. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
