/** Reads what a plan is made from, and brings it together: levels with their profiles, and the ways rows take. */
import { join } from "node:path";
import { levelHash } from "../../model-repo/backends/certificate-hash.ts";
import type { GearPoint } from "../../planner/plan/gears.ts";
import type { PlanWorkload } from "../../planner/plan/workload.ts";
import type { Routing } from "../../planner/simulate/ways.ts";
import { InferenceError } from "../../proto/errors.ts";
import type { CascadeFile, OperatingPoint } from "../../proto/files/cascade-file.ts";
import { type DevicesFile, readDevicesFile } from "../../proto/files/devices-file.ts";
import type { PlannedCascade } from "../../proto/files/plan-file.ts";
import { canonicalJson, textHash } from "../../proto/files/policy-hash.ts";
import { type ModelProfile, type ProfileFile, readProfileFile } from "../../proto/files/profile-file.ts";
import { readWorkloadFile, type WorkloadFile } from "../../proto/files/workload-file.ts";
import { locateCascade } from "../calibrate/locate-cascade.ts";
import { readText } from "../read-text.ts";
import { arrivalProcess, recordedRouting } from "../simulate/recorded.ts";
import { readRecordedConfidences, routingOfPoint } from "../simulate/recorded-confidences.ts";
import type { PlanOptions } from "./options.ts";

export interface PlanInputs {
  readonly profile: ProfileFile;
  readonly inventory: DevicesFile;
  readonly workload: PlanWorkload;
  /** Of the levels, smallest first. */
  readonly profiles: readonly ModelProfile[];
  readonly cascade: PlannedCascade | null;
  readonly gearPoints: readonly GearPoint[];
  /** Text of profile.json, which lies beside the plan. */
  readonly profileText: string;
  readonly hashes: { readonly profile: string; readonly devices: string; readonly workload: string };
}

/** Rejects naming file and field, a model that is not in the profile, and one that changed since it was profiled. */
export async function readPlanInputs(options: PlanOptions): Promise<PlanInputs> {
  const profileText = await readText(options.profile, "--profile");
  const devicesText = await readText(options.devices, "--devices");
  const workloadText = await readText(options.workload, "--workload");
  const profile = readProfileFile(profileText, options.profile);
  const inventory = readDevicesFile(devicesText, options.devices);
  const file = readWorkloadFile(workloadText, options.workload);
  const flow = options.cascade === undefined ? workloadFlow(file, options) : await cascadeFlow(file, options);
  const profiles = flow.levels.map((level) => profileOf(profile, level, options));
  await checkFresh(profiles, options);
  return {
    profile,
    inventory,
    workload: await planWorkload(file, flow, options.workload),
    profiles,
    cascade: flow.cascade,
    gearPoints: flow.gearPoints,
    profileText,
    hashes: { profile: hashOf(profileText), devices: hashOf(devicesText), workload: hashOf(workloadText) },
  };
}

interface Flow {
  readonly levels: readonly { readonly name: string; readonly version: string }[];
  readonly paths: readonly (readonly number[])[];
  /** null: as the workload's dataflow says. */
  readonly routing: Routing | null;
  readonly cascade: PlannedCascade | null;
  readonly gearPoints: readonly GearPoint[];
}

function workloadFlow({ dataflow }: WorkloadFile, { workload }: PlanOptions): Flow {
  if (dataflow === null) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${workload}: it has no 'dataflow': add the models and their reach, or name a cascade with --cascade`,
    );
  }
  const levels = dataflow.levels.map((name) => ({ name, version: "" }));
  return { levels, paths: dataflow.paths, routing: null, cascade: null, gearPoints: [] };
}

/** The levels and paths of one operating point; points with a certificate, and the chosen one, may become gears. */
async function cascadeFlow(file: WorkloadFile, options: PlanOptions): Promise<Flow> {
  const name = options.cascade ?? "";
  if (file.dataflow !== null) {
    throw new InferenceError(
      "INVALID_ARGUMENT",
      `${options.workload} has a 'dataflow' and --cascade names '${name}': leave one of them out`,
    );
  }
  const located = await locateCascade(options.repositories, name);
  if (located.file === undefined) {
    throw new InferenceError("NOT_FOUND", `there is no cascade '${name}' in ${options.repositories.join(", ")}`);
  }
  const point = pointOf(name, located.file, options.operatingPoint);
  const paths = pathsOf(name, point);
  const recorded =
    options.recorded === undefined ? null : await readRecordedConfidences(options.recorded, located.file.levels);
  const routingOf = (each: OperatingPoint): Routing =>
    recorded === null ? { kind: "paths", paths: each.expected?.paths ?? [] } : routingOfPoint(recorded, each);
  const gearPoints = located.file.operatingPoints
    .filter((each) => each.expected !== null && (each === point || promisesAsMuch(each, point)))
    .map((each) => ({
      name: each.name,
      routing: routingOf(each),
      cost: each.expected?.cost.value ?? Number.POSITIVE_INFINITY,
    }));
  return {
    levels: located.file.levels.map(({ model, version }) => ({ name: model, version })),
    paths,
    routing: routingOf(point),
    cascade: { name, version: located.version, operatingPoint: point.name },
    gearPoints,
  };
}

/** A gear may be cheaper, but not looser than the point that was asked for. */
function promisesAsMuch({ certificate }: OperatingPoint, than: OperatingPoint): boolean {
  if (certificate === null || than.certificate === null) return certificate !== null && than.certificate === null;
  return certificate.metric === than.certificate.metric && certificate.epsilon <= than.certificate.epsilon;
}

function pointOf(cascade: string, file: CascadeFile, asked: string | undefined): OperatingPoint {
  const name = asked ?? file.default;
  const point = file.operatingPoints.find((each) => each.name === name);
  if (point !== undefined) return point;
  const names = file.operatingPoints.map((each) => each.name).join(", ");
  throw new InferenceError(
    "INVALID_ARGUMENT",
    `cascade '${cascade}' has no operating point '${name}'; there are: ${names}`,
  );
}

function pathsOf(cascade: string, { name, expected }: OperatingPoint): readonly (readonly number[])[] {
  if (expected !== null) return expected.paths;
  throw new InferenceError(
    "FAILED_PRECONDITION",
    `operating point '${name}' of cascade '${cascade}' does not say where rows go: calibrate it (hybridserve calibrate)`,
  );
}

function profileOf(
  profile: ProfileFile,
  { name, version }: Flow["levels"][number],
  options: PlanOptions,
): ModelProfile {
  const found = profile.models.find((each) => each.name === name && (version === "" || each.version === version));
  if (found !== undefined) return found;
  const repositories = options.repositories.map((each) => `--model-repository ${each}`).join(" ");
  throw new InferenceError(
    "NOT_FOUND",
    `${options.profile} has no model '${name}'${version === "" ? "" : ` version ${version}`}: ` +
      `hybridserve profile ${repositories} --model ${name} --devices ${options.devices} --output ${options.profile}`,
  );
}

async function checkFresh(profiles: readonly ModelProfile[], { repositories, profile }: PlanOptions): Promise<void> {
  for (const { name, version, modelHash } of profiles) {
    const found = await hashInRepositories(repositories, name, version);
    if (found === modelHash) continue;
    throw new InferenceError(
      "FAILED_PRECONDITION",
      `model '${name}' version ${version} is not what ${profile} measured ` +
        `${found === "" ? "(the repository has no files of it)" : "(its files changed)"}: run hybridserve profile again`,
    );
  }
}

async function hashInRepositories(repositories: readonly string[], name: string, version: string): Promise<string> {
  for (const repository of repositories) {
    const hash = await levelHash(join(repository, name, version)).catch(() => "");
    if (hash !== "") return hash;
  }
  return "";
}

async function planWorkload(file: WorkloadFile, { paths, routing }: Flow, path: string): Promise<PlanWorkload> {
  const { rate, arrivals, rowsPerRequest, slo, shadowShare, dataflow } = file;
  const { process, cv } = await arrivalProcess(arrivals, path);
  const recorded = dataflow?.recorded ?? null;
  return {
    rate,
    arrivals,
    process,
    arrivalCv: cv,
    rowsPerRequest,
    slo,
    paths,
    routing: routing ?? (recorded === null ? { kind: "paths", paths } : await recordedRouting(recorded, paths, path)),
    shadowShare,
  };
}

function hashOf(text: string): string {
  return textHash(canonicalJson(JSON.parse(text)));
}
