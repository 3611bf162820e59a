/** The processor cores that this process may run on. */
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { coresOf } from "../proto/core-list.ts";

/** From the affinity of the process on Linux; elsewhere every core of the machine. */
export async function usableCores(): Promise<ReadonlySet<number>> {
  const status = await readFile("/proc/self/status", "utf8").catch(() => "");
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1];
  return new Set(list === undefined ? cpus().map((_, i) => i) : coresOf(list));
}
