/** What this machine is and what its limits allow, as far as it tells without being asked twice. */
import { readFileSync, statfsSync } from "node:fs";
import { arch, availableParallelism, cpus, release, totalmem, type } from "node:os";

export interface Machine {
  /** Such as `Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x64`. */
  readonly system: string;
  /** undefined: musl, or no Linux. */
  readonly glibc: string | undefined;
  readonly cpuModel: string;
  /** Cores this process may use: affinity counted, quota not. */
  readonly cores: number;
  /** CPU time the control group grants, in cores; undefined: no quota. */
  readonly coreQuota: number | undefined;
  readonly memoryBytes: number;
  /** What the control group grants; undefined: no limit below the memory itself. */
  readonly memoryLimitBytes: number | undefined;
  readonly openFiles: ResourceLimit;
  /** Free and whole size of /dev/shm; undefined where there is none. */
  readonly sharedMemory: { readonly freeBytes: number; readonly sizeBytes: number } | undefined;
}

export interface ResourceLimit {
  readonly soft: number | "unlimited";
  readonly hard: number | "unlimited";
}

/** Reads everything once. */
export function describeMachine(): Machine {
  const report = nodeReport();
  const memoryBytes = totalmem();
  const memoryLimit = process.constrainedMemory();
  return {
    system: [distribution(), `${type()} ${release()} ${arch()}`].filter((part) => part !== "").join(", "),
    glibc: report.header?.glibcVersionRuntime,
    cpuModel: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    coreQuota: coreQuota(),
    memoryBytes,
    memoryLimitBytes: memoryLimit > 0 && memoryLimit < memoryBytes ? memoryLimit : undefined,
    openFiles: report.userLimits?.open_files ?? { soft: "unlimited", hard: "unlimited" },
    sharedMemory: sharedMemory(),
  };
}

/** The parts of Node's diagnostic report that are used here. */
interface NodeReport {
  readonly header?: { readonly glibcVersionRuntime?: string };
  readonly userLimits?: { readonly open_files?: ResourceLimit };
}

function nodeReport(): NodeReport {
  // Looking up the names of network interfaces can take seconds.
  Object.assign(process.report, { excludeNetwork: true });
  const report: unknown = process.report.getReport();
  return (typeof report === "string" ? JSON.parse(report) : report) as NodeReport;
}

function distribution(): string {
  return /^PRETTY_NAME="?(.*?)"?$/m.exec(read("/etc/os-release"))?.[1] ?? "";
}

/** cgroup v2, then v1. */
function coreQuota(): number | undefined {
  const [quota, period] = read("/sys/fs/cgroup/cpu.max").trim().split(" ");
  const quotaUs = Number(quota || read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"));
  const periodUs = Number(period ?? read("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  return quotaUs > 0 && periodUs > 0 ? quotaUs / periodUs : undefined;
}

function sharedMemory(): Machine["sharedMemory"] {
  try {
    const { bavail, blocks, bsize } = statfsSync("/dev/shm");
    return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
  } catch {
    return undefined;
  }
}

/** A small system file; "" where there is none. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
