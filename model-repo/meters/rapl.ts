/** Energy counters of Intel and AMD processors: the kernel's powercap tree below /sys. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { InferenceError } from "../../proto/errors.ts";
import type { AbsentMeter, EnergyMeter } from "./energy-meter.ts";

/** `intel-rapl:0` (a package) and `intel-rapl:0:2` (a part of it); `intel-rapl-mmio:0` shows the same package again. */
const ZONE = /^intel-rapl:(\d+)(?::\d+)?$/;
/** The counters are brought up to date about every millisecond. */
const TICK_MS = 1;

/**
 * Zones that add up to what processors and memory use. Packages count their cores and uncore; `psys` counts the packages
 * again, `core` and `uncore` are parts of them: adding these would count twice.
 */
export function raplMeters(sysfsRoot: string): {
  readonly present: readonly EnergyMeter[];
  readonly absent: readonly AbsentMeter[];
} {
  const directory = join(sysfsRoot, "class", "powercap");
  const present: EnergyMeter[] = [];
  const absent: AbsentMeter[] = [];
  for (const zone of zonesIn(directory)) {
    const path = join(directory, zone);
    const package_ = ZONE.exec(zone)?.[1];
    const name = readText(join(path, "name"));
    const scope = name?.startsWith("package") === true ? "package" : name === "dram" ? "dram" : undefined;
    if (name === undefined || scope === undefined) continue;
    const source = `rapl:${scope === "dram" ? `dram-${package_}` : name}`;
    try {
      const counter = new RaplCounter(path, source);
      const readJoules = () => counter.readJoules();
      present.push({ source, scope, method: "counter", ordinal: -1, tickMs: TICK_MS, readJoules });
    } catch (error) {
      absent.push({ source, reason: InferenceError.from(error).message });
    }
  }
  if (present.length + absent.length === 0) {
    absent.push({
      source: "rapl",
      reason:
        `no package counter in ${directory}: virtual machines and ARM processors have none; on bare metal load the ` +
        "kernel module (modprobe intel_rapl_msr)",
    });
  }
  return { present, absent };
}

/** Growth from `before` to `now` of a counter that starts again at 0 after `range`; at most one time between readings. */
export function grownBy(before: number, now: number, range: number): number {
  return now >= before ? now - before : now + range - before;
}

/**
 * State: the last reading and the sum since the first. A package's counter starts again after some minutes at full
 * load (262 kJ, older ones 65 kJ), so it must be read at least every minute while it is in use.
 */
class RaplCounter {
  readonly #file: string;
  readonly #source: string;
  readonly #rangeMicrojoules: number;
  #lastMicrojoules: number;
  #microjoules = 0;

  constructor(zone: string, source: string) {
    this.#file = join(zone, "energy_uj");
    this.#source = source;
    this.#rangeMicrojoules = Number(readText(join(zone, "max_energy_range_uj")) ?? "0");
    this.#lastMicrojoules = this.#read();
  }

  readJoules(): number {
    const now = this.#read();
    this.#microjoules += grownBy(this.#lastMicrojoules, now, this.#rangeMicrojoules);
    this.#lastMicrojoules = now;
    return this.#microjoules / 1e6;
  }

  #read(): number {
    let text: string;
    try {
      text = readFileSync(this.#file, "utf8").trim();
    } catch (error) {
      throw unreadable(this.#source, this.#file, error);
    }
    if (/^\d+$/.test(text)) return Number(text);
    throw new InferenceError("UNAVAILABLE", `${this.#source}: ${this.#file} holds '${text}', expected microjoules`);
  }
}

/** What a reader can do about a counter that the kernel does not show. */
export function unreadable(source: string, file: string, error: unknown): InferenceError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const mend =
    code === "EACCES" || code === "EPERM"
      ? `only root may read it (CVE-2020-8694): run as root, or 'chmod o+r ${file}' as root after each boot`
      : `it cannot be read: ${String(error)}`;
  return new InferenceError("UNAVAILABLE", `${source}: ${file}: ${mend}`, { cause: error });
}

/** In the order of their numbers. */
function zonesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => ZONE.test(name))
      .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  } catch {
    return [];
  }
}

/** undefined where there is no such file. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
