/** Reads what `hybridserve simulate` plays: the plan with its fleet, and the workload. */
import type { Fleet } from "../../planner/fleet.ts";
import { fleetOfPlan } from "../../planner/fleet-of-plan.ts";
import type { PlanWorkload } from "../../planner/plan/workload.ts";
import { checkPlan } from "../../planner/plan-check.ts";
import type { Routing } from "../../planner/simulate/ways.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { PlanFile } from "../../proto/files/plan-file.ts";
import { readProfileFile } from "../../proto/files/profile-file.ts";
import { readPlanFile } from "../../proto/files/read-plan-file.ts";
import { readWorkloadFile, type WorkloadFile } from "../../proto/files/workload-file.ts";
import { readText } from "../read-text.ts";
import type { SimulateOptions } from "./options.ts";
import { arrivalProcess, recordedRouting } from "./recorded.ts";
import { readCascadeVersion, readRecordedConfidences, routingOfPoint } from "./recorded-confidences.ts";

export interface SimulateInputs {
  readonly plan: PlanFile;
  readonly fleet: Fleet;
  readonly workload: PlanWorkload;
}

/** Rejects naming file and field, or what in the plan contradicts itself. */
export async function readSimulateInputs(options: SimulateOptions): Promise<SimulateInputs> {
  const plan = readPlanFile(await readText(options.plan, "--plan"), options.plan);
  const [inconsistency] = checkPlan(plan);
  if (inconsistency !== undefined) {
    throw new InferenceError(
      "FAILED_PRECONDITION",
      `${options.plan}: ${inconsistency}; make the plan anew: ${plan.provenance.command}`,
    );
  }
  const profile = readProfileFile(await readText(options.profile, "--profile"), options.profile);
  const file = options.workload;
  const workload = file === undefined ? undefined : readWorkloadFile(await readText(file, "--workload"), file);
  const base = await playedWorkload(plan, workload, file ?? options.plan);
  const routing = options.recorded === undefined ? base.routing : await replayed(plan, workload, options);
  return { plan, fleet: fleetOfPlan(plan, profile), workload: { ...base, routing, rate: options.rate ?? base.rate } };
}

/** `path`: file that the names of traces and recorded rows are relative to. */
async function playedWorkload(plan: PlanFile, file: WorkloadFile | undefined, path: string): Promise<PlanWorkload> {
  const { rate, arrivals, rowsPerRequest, slo, shadowShare } = file ?? plan.workload;
  const { process, cv } = await arrivalProcess(arrivals, path);
  const dataflow = file?.dataflow ?? null;
  if (dataflow !== null) checkLevels(plan, dataflow.levels, path);
  const paths = dataflow?.paths ?? plan.workload.paths;
  const recorded = dataflow?.recorded ?? null;
  return {
    rate,
    arrivals,
    process,
    arrivalCv: cv,
    rowsPerRequest,
    slo,
    paths,
    routing: recorded === null ? { kind: "paths", paths } : await recordedRouting(recorded, paths, path),
    shadowShare,
  };
}

/** The ways of `--recorded` rows at the plan's operating point. */
async function replayed(
  { cascade }: PlanFile,
  workload: WorkloadFile | undefined,
  { plan, recorded = "", repositories }: SimulateOptions,
): Promise<Routing> {
  if (cascade === null) {
    throw new InferenceError(
      "FAILED_PRECONDITION",
      `${plan} is for models by themselves; --recorded is for the plan of a cascade (hybridserve plan --cascade NAME)`,
    );
  }
  if (workload !== undefined && workload.dataflow !== null) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      "--recorded and the workload's 'dataflow' both say where rows go: leave one of them out",
    );
  }
  const file = await readCascadeVersion(repositories, cascade.name, cascade.version);
  const point = file.operatingPoints.find(({ name }) => name === cascade.operatingPoint);
  if (point === undefined) {
    throw new InferenceError(
      "FAILED_PRECONDITION",
      `version ${cascade.version} of cascade '${cascade.name}' has no operating point '${cascade.operatingPoint}', which ` +
        `${plan} is for: make the plan anew`,
    );
  }
  return routingOfPoint(await readRecordedConfidences(recorded, file.levels), point);
}

function checkLevels(plan: PlanFile, levels: readonly string[], path: string): void {
  const planned = [...plan.models].sort((a, b) => a.level - b.level).map(({ name }) => name);
  if (planned.join("\n") === levels.join("\n")) return;
  throw new InferenceError(
    "FAILED_PRECONDITION",
    `${path}: dataflow.levels are ${levels.join(", ")}, but the plan is for ${planned.join(", ")}`,
  );
}
