/** The processes that a planned server runs its stages in, as Linux shows them. */
import { readProcessCpuSeconds, readProcessMemory } from "../../model-repo/backends/process-usage.ts";
import type { PlanFile } from "../../proto/files/plan-file.ts";
import { type ChildProcessStatus, instanceProcesses } from "../../test/server/support/child-processes.ts";

export interface StageProcess {
  readonly stage: string;
  readonly pid: number;
  readonly cpus: string;
  readonly memoryLimitMib: number | null;
  readonly peakMib: number | null;
  /** While the giant alone was asked. */
  readonly cpuSeconds: number;
}

/**
 * Runs `ask`, which asks the last level alone, and says which process computed for how long. A process does not tell
 * what it holds: of those on a device, the ones that computed most are the last level's stages. Empty outside Linux.
 */
export async function watchLastLevel(
  serverPid: number,
  plan: PlanFile,
  ask: () => Promise<void>,
): Promise<StageProcess[]> {
  const processes = await instanceProcesses(serverPid);
  const before = processes.map(({ pid }) => readProcessCpuSeconds(pid) ?? 0);
  await ask();
  const watched = processes.map((each, i) => ({
    process: each,
    cpuSeconds: (readProcessCpuSeconds(each.pid) ?? 0) - (before[i] ?? 0),
  }));
  return plan.devices.flatMap(({ id, cpus }) => {
    const here = watched.filter(({ process }) => process.cpus === cpus).sort((a, b) => b.cpuSeconds - a.cpuSeconds);
    return here.map(({ process, cpuSeconds }, i) => describe(stagesOn(plan, id)[i] ?? "", process, cpuSeconds));
  });
}

/** Stages with a copy on the device, those of the last level first. */
function stagesOn({ placements, models }: PlanFile, device: string): string[] {
  const last = models.find(({ level }) => level === models.length - 1)?.stages ?? [];
  const here = placements.filter((placement) => placement.device === device).map(({ stage }) => stage);
  return [...here.filter((stage) => last.includes(stage)), ...here.filter((stage) => !last.includes(stage))];
}

function describe(
  stage: string,
  { pid, cpus, memoryLimitBytes }: ChildProcessStatus,
  cpuSeconds: number,
): StageProcess {
  const memory = readProcessMemory(pid);
  return {
    stage,
    pid,
    cpus,
    memoryLimitMib: memoryLimitBytes === undefined ? null : memoryLimitBytes / 2 ** 20,
    peakMib: memory === undefined ? null : Math.max(memory.peakResidentBytes, memory.dataBytes) / 2 ** 20,
    cpuSeconds,
  };
}
