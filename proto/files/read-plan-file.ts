/** Reads plan.json. What its parts say of each other is for `checkPlan` of the planner. */
import { DEVICES_FORMAT_VERSION, devicesOf } from "./devices-file.ts";
import { JsonField } from "./json-field.ts";
import {
  type Explanation,
  type Gear,
  type Numerics,
  PLAN_ALGORITHMS,
  PLAN_FORMAT_VERSION,
  PLAN_OBJECTIVES,
  type Placement,
  type PlanFile,
  type PlannedCascade,
  type PlannedModel,
  type PlannedWorkload,
  type PlanProvenance,
  type Prediction,
} from "./plan-file.ts";
import { readFileReference, readHash, readModelHash } from "./read-file-reference.ts";
import { readPlannedStage } from "./read-planned-stage.ts";
import { readArrivals, readObjective, readPaths } from "./workload-file.ts";

const KEYS = [
  "formatVersion",
  "createdAt",
  "objective",
  "provenance",
  "workload",
  "cascade",
  "classes",
  "devices",
  "links",
  "models",
  "stages",
  "placements",
  "gears",
  "prediction",
  "explanation",
];

/** Throws INVALID_ARGUMENT naming file and field; unknown keys are errors. */
export function readPlanFile(text: string, file: string): PlanFile {
  const root = JsonField.parse(text, file).object(KEYS);
  root.get("formatVersion").integer(PLAN_FORMAT_VERSION, PLAN_FORMAT_VERSION);
  const models = root.get("models").items().map(readModel);
  if (models.length === 0) throw root.get("models").error("must hold at least one model");
  const cascade = root.get("cascade");
  return {
    createdAt: root.get("createdAt").string(),
    objective: root.get("objective").oneOf(PLAN_OBJECTIVES),
    provenance: readProvenance(root.get("provenance")),
    workload: readWorkload(root.get("workload"), models.length),
    cascade: cascade.isNull() ? null : readCascade(cascade),
    ...readInventory(root),
    models,
    stages: root.get("stages").items().map(readPlannedStage),
    placements: root.get("placements").items().map(readPlacement),
    gears: root.get("gears").items().map(readGear),
    prediction: readPrediction(root.get("prediction")),
    explanation: readExplanation(root.get("explanation")),
  };
}

/** Classes, devices and links are as in devices.json, under the same names. */
function readInventory(root: JsonField): Pick<PlanFile, "classes" | "devices" | "links"> {
  const parts = {
    formatVersion: DEVICES_FORMAT_VERSION,
    classes: root.get("classes").value,
    devices: root.get("devices").value,
    links: root.get("links").value,
  };
  return devicesOf(new JsonField(root.file, "", parts));
}

function readProvenance(field: JsonField): PlanProvenance {
  field.object([
    "version",
    "command",
    "algorithm",
    "seed",
    "optimalityGap",
    "solverMs",
    "isTimeLimited",
    "profileHash",
    "devicesHash",
    "workloadHash",
    "onnxruntime",
    "node",
    "providers",
  ]);
  return {
    version: field.get("version").string(),
    command: field.get("command").string(),
    algorithm: field.get("algorithm").oneOf(PLAN_ALGORITHMS),
    seed: field.get("seed").integer(Number.MIN_SAFE_INTEGER),
    optimalityGap: numberOrNull(field.get("optimalityGap")),
    solverMs: field.get("solverMs").number(0),
    isTimeLimited: boolean(field.get("isTimeLimited")),
    profileHash: readHash(field.get("profileHash")),
    devicesHash: readHash(field.get("devicesHash")),
    workloadHash: readHash(field.get("workloadHash")),
    onnxruntime: field.get("onnxruntime").string(),
    node: field.get("node").string(),
    providers: strings(field.get("providers")),
  };
}

function readWorkload(field: JsonField, levels: number): PlannedWorkload {
  field.object(["rate", "arrivals", "rowsPerRequest", "slo", "reach", "paths", "shadowShare", "utilisationCap"]);
  const rate = field.get("rate").number(0);
  if (rate === 0) throw field.get("rate").error("must be above 0");
  const reach = field
    .get("reach")
    .items()
    .map((share) => share.number(0));
  if (reach.length !== levels) throw field.get("reach").error(`must hold one share for each of the ${levels} models`);
  return {
    rate,
    arrivals: readArrivals(field.get("arrivals")),
    rowsPerRequest: field.get("rowsPerRequest").integer(1),
    slo: readObjective(field.get("slo")),
    reach,
    paths: readPaths(field.get("paths"), levels),
    shadowShare: field.get("shadowShare").number(0, 1),
    utilisationCap: field.get("utilisationCap").number(0, 1),
  };
}

function readCascade(field: JsonField): PlannedCascade {
  field.object(["name", "version", "operatingPoint"]);
  return {
    name: field.get("name").string(),
    version: field.get("version").string(),
    operatingPoint: field.get("operatingPoint").string(),
  };
}

function readModel(field: JsonField): PlannedModel {
  field.object(["name", "version", "level", "modelHash", "reach", "stages", "batch", "weights", "numerics"]);
  const stages = strings(field.get("stages"));
  if (stages.length === 0) throw field.get("stages").error("must name at least one stage");
  const batch = field.get("batch").object(["max", "preferred", "maxQueueDelayUs"]);
  const max = batch.get("max").integer(1);
  const weights = field.get("weights");
  const numerics = field.get("numerics");
  return {
    name: field.get("name").string(),
    version: field.get("version").string(),
    level: field.get("level").integer(0),
    modelHash: readModelHash(field.get("modelHash")),
    reach: field.get("reach").number(0),
    stages,
    batch: {
      max,
      preferred: batch
        .get("preferred")
        .items()
        .map((size) => size.integer(1, max)),
      maxQueueDelayUs: batch.get("maxQueueDelayUs").integer(0),
    },
    weights: weights.isNull() ? null : readFileReference(weights),
    numerics: numerics.isNull() ? null : readNumerics(numerics),
  };
}

function readNumerics(field: JsonField): Numerics {
  field.object(["maxAbsDifference", "golden"]);
  return {
    maxAbsDifference: field.get("maxAbsDifference").number(0),
    golden: readFileReference(field.get("golden")),
  };
}

function readPlacement(field: JsonField): Placement {
  field.object(["stage", "replica", "device", "share", "intraOpThreads"]);
  return {
    stage: field.get("stage").string(),
    replica: field.get("replica").integer(0),
    device: field.get("device").string(),
    share: field.get("share").number(0, 1),
    intraOpThreads: field.get("intraOpThreads").integer(1, 4096),
  };
}

function readGear(field: JsonField): Gear {
  field.object(["operatingPoint", "fromRate", "toRate", "joulesPerRequest"]);
  return {
    operatingPoint: field.get("operatingPoint").string(),
    fromRate: field.get("fromRate").number(0),
    toRate: field.get("toRate").number(0),
    joulesPerRequest: numberOrNull(field.get("joulesPerRequest")),
  };
}

function readPrediction(field: JsonField): Prediction {
  field.object([
    "throughput",
    "latencyMs",
    "goodput",
    "watts",
    "joulesPerRequest",
    "energySource",
    "simulatedRequests",
  ]);
  const latency = field.get("latencyMs").object(["mean", "p50", "p95", "p99"]);
  const ms = (key: string) => latency.get(key).number(0);
  return {
    throughput: field.get("throughput").number(0),
    latencyMs: { mean: ms("mean"), p50: ms("p50"), p95: ms("p95"), p99: ms("p99") },
    goodput: field.get("goodput").number(0, 1),
    watts: numberOrNull(field.get("watts")),
    joulesPerRequest: numberOrNull(field.get("joulesPerRequest")),
    energySource: text(field.get("energySource")),
    simulatedRequests: field.get("simulatedRequests").integer(0),
  };
}

function readExplanation(field: JsonField): Explanation {
  field.object(["binding", "placements", "oneMoreDevice"]);
  return {
    binding: strings(field.get("binding")),
    placements: field.get("placements").items().map(text),
    oneMoreDevice: field
      .get("oneMoreDevice")
      .items()
      .map((entry) => {
        entry.object(["class", "gain"]);
        return { class: entry.get("class").string(), gain: entry.get("gain").string() };
      }),
  };
}

function strings(field: JsonField): string[] {
  return field.items().map((item) => item.string());
}

function text(field: JsonField): string {
  if (typeof field.value !== "string") throw field.error("must be a string");
  return field.value;
}

function boolean(field: JsonField): boolean {
  if (typeof field.value !== "boolean") throw field.error("must be true or false");
  return field.value;
}

function numberOrNull(field: JsonField): number | null {
  return field.isNull() ? null : field.number(0);
}
