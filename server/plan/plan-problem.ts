/** Whether this machine and this repository are what a plan was made for. Pure. */

import { coresOf } from "../../proto/core-list.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { Device } from "../../proto/files/devices-file.ts";
import type { FileReference, PlanFile } from "../../proto/files/plan-file.ts";

/** Begins the text of a refused plan; stable, for scripts. */
export const PLAN_CODES = [
  "PLAN_INVALID",
  "PLAN_INCONSISTENT",
  "PLAN_STALE_PROFILE",
  "PLAN_STALE_MODEL",
  "PLAN_STALE_RUNTIME",
  "PLAN_DEVICE_MISSING",
] as const;
export type PlanCode = (typeof PLAN_CODES)[number];

/** A plan that cannot be served, with its code and the command that mends it. */
export class PlanError extends InferenceError {
  readonly planCode: PlanCode;

  constructor(planCode: PlanCode, text: string) {
    super("FAILED_PRECONDITION", `${planCode}: ${text}`);
    this.planCode = planCode;
  }
}

/** What was found where the server starts. */
export interface PlanFacts {
  readonly onnxruntime: string;
  /** Cores that this process may use. */
  readonly cores: ReadonlySet<number>;
  readonly memoryBytes: number;
  /** undefined: the CUDA provider is there; else how to get it. */
  readonly cudaProblem: string | undefined;
  /** Names of the nodes that the plan may mean by this machine: `local` and its host name. */
  readonly nodes: ReadonlySet<string>;
  /** `name/version` of models and cascade -> hash of its files; "" where there are none. */
  readonly modelHashes: ReadonlyMap<string, string>;
  /** Hashes of the files that the plan names, by path; "" where there is none. */
  readonly fileHashes: ReadonlyMap<string, string>;
  /** Hash of the profile.json beside the plan; undefined: there is none, and nothing to compare. */
  readonly profileHash: string | undefined;
}

/** Every file that a plan names. */
export function filesOf(plan: PlanFile): FileReference[] {
  const ofModels = plan.models.flatMap((model) => [model.weights ?? [], model.numerics?.golden ?? []].flat());
  return [...plan.stages.flatMap((stage) => stage.file ?? []), ...ofModels];
}

/** The first thing that keeps the plan from being served here; undefined: it fits. */
export function planProblem(plan: PlanFile, facts: PlanFacts): PlanError | undefined {
  const again = `make the plan anew: ${plan.provenance.command}`;
  return (
    runtimeProblem(plan, facts, again) ??
    profileProblem(plan, facts, again) ??
    modelProblem(plan, facts, again) ??
    cascadeProblem(plan, facts, again) ??
    fileProblem(plan, facts, again) ??
    deviceProblem(plan, facts)
  );
}

function runtimeProblem(plan: PlanFile, facts: PlanFacts, again: string): PlanError | undefined {
  const { onnxruntime } = plan.provenance;
  if (onnxruntime === facts.onnxruntime) return undefined;
  return new PlanError(
    "PLAN_STALE_RUNTIME",
    `the plan was measured with onnxruntime ${onnxruntime}, this is ${facts.onnxruntime}; profile again ` +
      `(hybridserve profile), then ${again}`,
  );
}

function profileProblem(plan: PlanFile, facts: PlanFacts, again: string): PlanError | undefined {
  const { profileHash } = plan.provenance;
  if (facts.profileHash === undefined || facts.profileHash === profileHash) return undefined;
  return new PlanError(
    "PLAN_STALE_PROFILE",
    `the plan was made from a profile ${short(profileHash)}, the profile.json beside it is ${short(facts.profileHash)}; ${again}`,
  );
}

function modelProblem(plan: PlanFile, facts: PlanFacts, again: string): PlanError | undefined {
  for (const { name, version, modelHash } of plan.models) {
    const found = facts.modelHashes.get(`${name}/${version}`) ?? "";
    if (found === modelHash) continue;
    return new PlanError(
      "PLAN_STALE_MODEL",
      `model '${name}' version ${version}: the plan expects ${short(modelHash)}, ` +
        `${found === "" ? "the repository has no files of it" : `its files are ${short(found)}`}; ` +
        `profile it again (hybridserve profile --model ${name}), then ${again}`,
    );
  }
  return undefined;
}

/** A plan that is made for another repository would go unnoticed: its models may be there all the same. */
function cascadeProblem({ cascade }: PlanFile, facts: PlanFacts, again: string): PlanError | undefined {
  if (cascade === null) return undefined;
  const { name, version } = cascade;
  if ((facts.modelHashes.get(`${name}/${version}`) ?? "") !== "") return undefined;
  const text = `cascade '${name}' version ${version}: the repository has no files of it; ${again}`;
  return new PlanError("PLAN_STALE_MODEL", text);
}

function fileProblem(plan: PlanFile, facts: PlanFacts, again: string): PlanError | undefined {
  for (const { path, hash } of filesOf(plan)) {
    const found = facts.fileHashes.get(path) ?? "";
    if (found === hash) continue;
    const what = found === "" ? "is missing" : `is ${short(found)}, the plan expects ${short(hash)}`;
    return new PlanError("PLAN_STALE_MODEL", `the plan's file '${path}' ${what}; ${again}`);
  }
  return undefined;
}

function deviceProblem(plan: PlanFile, facts: PlanFacts): PlanError | undefined {
  const used = new Set(plan.placements.map((placement) => placement.device));
  const classes = new Map(plan.classes.map((each) => [each.name, each]));
  let cpuBytes = 0;
  for (const device of plan.devices) {
    const deviceClass = classes.get(device.class);
    if (deviceClass === undefined || !used.has(device.id)) continue;
    if (!facts.nodes.has(device.node)) {
      return missing(device, `is on node '${device.node}', this is ${[...facts.nodes].join(" or ")}`);
    }
    if (deviceClass.kind === "cuda") {
      if (facts.cudaProblem !== undefined) return missing(device, `needs CUDA: ${facts.cudaProblem}`);
      continue;
    }
    cpuBytes += deviceClass.memoryBytes;
    const absent = coresOf(device.cpus).filter((core) => !facts.cores.has(core));
    if (absent.length > 0) {
      return missing(device, `needs cores ${device.cpus}; this process may not use core ${absent.join(", ")}`);
    }
  }
  if (cpuBytes > facts.memoryBytes) {
    return new PlanError(
      "PLAN_DEVICE_MISSING",
      `the plan's CPU devices have ${gibibytes(cpuBytes)} GiB of memory together, this machine has ` +
        `${gibibytes(facts.memoryBytes)} GiB; ${MEND_DEVICES}`,
    );
  }
  return undefined;
}

const MEND_DEVICES = "list what is here (hybridserve doctor --devices), then plan again with that devices.json";

function missing(device: Device, what: string): PlanError {
  return new PlanError("PLAN_DEVICE_MISSING", `device '${device.id}' ${what}; ${MEND_DEVICES}`);
}

/** `sha256:files:<hex>` and `sha256:<hex>` with the first twelve digits. */
function short(hash: string): string {
  const digits = hash.lastIndexOf(":") + 1;
  return hash === "" ? "(none)" : `${hash.slice(0, digits + 12)}...`;
}

function gibibytes(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(1);
}
