/** Child processes as Linux shows them below /proc. */
import { readdir, readFile } from "node:fs/promises";

/** The `skip` of tests that look at processes. */
export const WITHOUT_PROC = process.platform === "linux" ? false : "processes are looked at in /proc, which is Linux'";

export interface ChildProcessStatus {
  readonly pid: number;
  /** `Cpus_allowed_list`. */
  readonly cpus: string;
  /** Soft limit of private memory in bytes; undefined: none. */
  readonly memoryLimitBytes: number | undefined;
  /** Private memory that the limit counts. */
  readonly dataBytes: number;
  readonly command: string;
}

/** The processes of instances that a server has, in order of their start; those that end meanwhile are left out. */
export async function instanceProcesses(serverPid: number): Promise<ChildProcessStatus[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map((pid) => statusOf(pid, serverPid)));
  return found.filter((each) => each !== undefined).sort((a, b) => a.pid - b.pid);
}

async function statusOf(pid: number, parent: number): Promise<ChildProcessStatus | undefined> {
  const read = (file: string) => readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
  const status = await read("status");
  if (Number(/^PPid:\s*(\d+)$/m.exec(status)?.[1]) !== parent) return undefined;
  const command = (await read("cmdline")).replaceAll("\0", " ");
  if (!command.includes("onnx-child")) return undefined;
  const limit = /^Max data size\s+(\d+)/m.exec(await read("limits"))?.[1];
  return {
    pid,
    cpus: /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "",
    memoryLimitBytes: limit === undefined ? undefined : Number(limit),
    dataBytes: Number(/^VmData:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024,
    command,
  };
}
