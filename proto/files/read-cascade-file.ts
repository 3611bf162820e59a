/** Reads cascade.json; every complaint names the file and the path inside it. */
import {
  CASCADE_FORMAT_VERSION,
  type Calibration,
  type CascadeFile,
  type CascadeLevel,
  type ConfidenceFunction,
  type OperatingPoint,
} from "./cascade-file.ts";
import { JsonField } from "./json-field.ts";
import { readCost, readGates, readOperatingPoint } from "./read-operating-point.ts";

/** Reads and checks a whole file; throws INVALID_ARGUMENT naming the file and the path inside it. */
export function parseCascadeFile(text: string, file: string): CascadeFile {
  const root = JsonField.parse(text, file).object([
    "formatVersion",
    "levels",
    "operatingPoints",
    "thresholdPerformanceGraph",
    "default",
    "calibration",
  ]);
  const version = root.get("formatVersion");
  if (version.integer(1) !== CASCADE_FORMAT_VERSION) {
    throw version.error(`is ${version.integer(1)}; this hybridserve reads version ${CASCADE_FORMAT_VERSION}`);
  }
  const levelFields = root.get("levels").items();
  if (levelFields.length < 2) throw root.get("levels").error("must list at least two levels, the smallest first");
  const levels = levelFields.map((field, k) => readLevel(field, k === levelFields.length - 1));
  const pointFields = root.get("operatingPoints").items();
  const operatingPoints = pointFields.map((field) => readOperatingPoint(field, levels.length));
  checkNames(root.get("operatingPoints"), operatingPoints);
  const defaultField = root.get("default");
  const defaultName = defaultField.string();
  if (!operatingPoints.some((point) => point.name === defaultName)) {
    throw defaultField.error(
      `"${defaultName}" is not an operating point; there are: ${operatingPoints.map((point) => point.name).join(", ")}`,
    );
  }
  const calibration = root.optional("calibration");
  return {
    formatVersion: CASCADE_FORMAT_VERSION,
    levels,
    operatingPoints,
    thresholdPerformanceGraph: (root.optional("thresholdPerformanceGraph")?.items() ?? []).map((field) => ({
      gates: readGates(field.object(["gates", "accuracy", "cost"]).get("gates"), levels.length),
      accuracy: field.get("accuracy").number(0, 1),
      cost: field.get("cost").number(0),
    })),
    default: defaultName,
    calibration: calibration === undefined || calibration.isNull() ? null : readCalibration(calibration),
  };
}

function readLevel(field: JsonField, isLast: boolean): CascadeLevel {
  field.object(["model", "version", "inputs", "outputs", "labelMap", "confidence", "cost"]);
  const labelMap = field.optional("labelMap");
  const confidence = field.optional("confidence");
  const cost = field.optional("cost");
  const level: CascadeLevel = {
    model: field.get("model").string(),
    version: readText(field.optional("version")),
    inputs: readStrings(field.optional("inputs")),
    outputs: readStrings(field.optional("outputs")),
    labelMap: labelMap === undefined || labelMap.isNull() ? null : readPermutation(labelMap),
    confidence: confidence === undefined || confidence.isNull() ? null : readConfidence(confidence),
    cost: cost === undefined || cost.isNull() ? null : readCost(cost),
  };
  if (level.confidence === null && !isLast) throw field.error("needs a confidence: only the last level may do without");
  return level;
}

/** "" and absence mean the same. */
function readText(field: JsonField | undefined): string {
  return field === undefined || field.value === "" ? "" : field.string();
}

function readConfidence(field: JsonField): ConfidenceFunction {
  field.object(["function", "kind", "outputs", "params"]);
  const params: Record<string, number | number[]> = {};
  for (const [name, param] of field.optional("params")?.entries() ?? []) {
    params[name] = Array.isArray(param.value) ? param.items().map((item) => item.number()) : param.number();
  }
  return {
    function: field.get("function").string(),
    kind: field.get("kind").oneOf(["logits", "probabilities", "sigmoid"]),
    outputs: readStrings(field.get("outputs")),
    params,
  };
}

function readCalibration(field: JsonField): Calibration {
  field.object(["levelHashes", "provider", "createdAt", "command"]);
  return {
    levelHashes: field
      .get("levelHashes")
      .items()
      .map((hash) => (hash.value === "" ? "" : hash.string())),
    provider: readText(field.get("provider")), // "" where outputs were recorded
    createdAt: field.get("createdAt").string(),
    command: field.get("command").string(),
  };
}

function readStrings(field: JsonField | undefined): Record<string, string> {
  return Object.fromEntries((field?.entries() ?? []).map(([key, value]) => [key, value.string()]));
}

/** A permutation of 0..n-1, as both directions of a label map need it. */
function readPermutation(field: JsonField): number[] {
  const items = field.items();
  const map = items.map((item) => item.integer(0, items.length - 1));
  if (new Set(map).size !== map.length) {
    throw field.error(`must name every class from 0 to ${map.length - 1} exactly once`);
  }
  return map;
}

function checkNames(field: JsonField, points: readonly OperatingPoint[]): void {
  if (points.length === 0) throw field.error("must list at least one operating point");
  const names = points.map((point) => point.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw field.error(`must have distinct names; "${twice}" stands there twice`);
}
