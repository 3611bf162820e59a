/**
 * cascade.json: the policy of a cascade, as calibration or a person wrote it. Levels count from 0, smallest first.
 */
import { JsonField } from "./json-field.ts";

export const CASCADE_FORMAT_VERSION = 1;

export interface CascadeFile {
  readonly formatVersion: number;
  readonly levels: readonly CascadeLevel[];
  readonly operatingPoints: readonly OperatingPoint[];
  readonly thresholdPerformanceGraph: readonly GraphPoint[];
  /** Name of the operating point used when nothing else chooses. */
  readonly default: string;
  readonly calibration: Calibration | null;
}

/** One model of the cascade and how it is wired to the cascade's tensors. */
export interface CascadeLevel {
  readonly model: string;
  /** "" follows the model's version policy. */
  readonly version: string;
  /** Level's input -> cascade's input; an input that is not named maps to its namesake. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Cascade's output -> level's output; an output that is not named maps to its namesake. */
  readonly outputs: Readonly<Record<string, string>>;
  /** labelMap[i]: the cascade's class of the level's class i; null: the same. */
  readonly labelMap: readonly number[] | null;
  /** null only at the last level, whose answers are always accepted. */
  readonly confidence: ConfidenceFunction | null;
  readonly cost: Cost | null;
}

/** What a score tensor holds. */
export type ScoreKind = "logits" | "probabilities" | "sigmoid";

export interface ConfidenceFunction {
  readonly function: string;
  readonly kind: ScoreKind;
  /** Role (`scores`, ...) -> the level's output tensor. */
  readonly outputs: Readonly<Record<string, string>>;
  readonly params: Readonly<Record<string, number | readonly number[]>>;
}

export interface Cost {
  /** Per row. */
  readonly value: number;
  readonly unit: string;
  readonly source: string;
}

/** What level k does with a row of confidence q. */
export interface Gate {
  /** q >= accept: the level's answer stands. */
  readonly accept: number;
  /** q < skip[i]: the row goes to level k+2+i or higher; non-increasing, at most one cut per level behind the next. */
  readonly skip: readonly number[];
  /** q < below: too hard to be worth the path; null: no such band. */
  readonly hopeless: { readonly below: number; readonly action: "accept" | "last" } | null;
}

export interface OperatingPoint {
  readonly name: string;
  /** One gate for every level but the last. */
  readonly gates: readonly Gate[];
  readonly expected: Readonly<Record<string, unknown>> | null;
  /** null: the point is uncertified. */
  readonly certificate: Certificate | null;
}

/** The statistical promise of an operating point; void once what it was computed for changes. */
export interface Certificate {
  readonly metric: string;
  readonly epsilon: number;
  readonly risk: number;
  readonly bound: number;
  readonly policyHash: string;
  /** Everything else, as written. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface GraphPoint {
  readonly gates: readonly Gate[];
  readonly accuracy: number;
  readonly cost: number;
}

export interface Calibration {
  readonly levelHashes: readonly string[];
  readonly provider: string;
  readonly createdAt: string;
  readonly command: string;
}

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
    version: field.optional("version")?.string() ?? "",
    inputs: readStrings(field.optional("inputs")),
    outputs: readStrings(field.optional("outputs")),
    labelMap: labelMap === undefined || labelMap.isNull() ? null : readPermutation(labelMap),
    confidence: confidence === undefined || confidence.isNull() ? null : readConfidence(confidence),
    cost: cost === undefined || cost.isNull() ? null : readCost(cost),
  };
  if (level.confidence === null && !isLast) throw field.error("needs a confidence: only the last level may do without");
  return level;
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

function readOperatingPoint(field: JsonField, levels: number): OperatingPoint {
  field.object(["name", "gates", "expected", "certificate"]);
  const expected = field.optional("expected");
  const certificate = field.optional("certificate");
  return {
    name: field.get("name").string(),
    gates: readGates(field.get("gates"), levels),
    expected: expected === undefined || expected.isNull() ? null : Object.fromEntries(plainEntries(expected)),
    certificate: certificate === undefined || certificate.isNull() ? null : readCertificate(certificate),
  };
}

function readGates(field: JsonField, levels: number): Gate[] {
  const gates = field.items();
  if (gates.length !== levels - 1) {
    throw field.error(`must hold one gate for each of the ${levels - 1} levels before the last, not ${gates.length}`);
  }
  return gates.map((gate, k) => readGate(gate, levels - 2 - k));
}

/** One gate; `skippable` is how many levels lie behind the next one. */
function readGate(field: JsonField, skippable: number): Gate {
  field.object(["accept", "skip", "hopeless"]);
  const accept = field.get("accept").number(0, 1);
  const skipField = field.optional("skip");
  const skip: number[] = [];
  for (const cut of skipField?.items() ?? []) {
    const highest = skip.at(-1) ?? accept;
    if (cut.number(0, 1) > highest) throw cut.error(`must not exceed ${highest}, the cut before it`);
    skip.push(cut.number(0, 1));
  }
  if (skipField !== undefined && skip.length > skippable) {
    throw skipField.error(`must hold at most ${skippable} cuts: there are no more levels to skip to`);
  }
  const hopelessField = field.optional("hopeless");
  if (hopelessField === undefined || hopelessField.isNull()) return { accept, skip, hopeless: null };
  const below = hopelessField.object(["below", "action"]).get("below");
  const highest = skip.at(-1) ?? accept;
  if (below.number(0, 1) > highest) throw below.error(`must not exceed ${highest}, the cut above it`);
  const action = hopelessField.get("action").oneOf(["accept", "last"]);
  return { accept, skip, hopeless: { below: below.number(0, 1), action } };
}

function readCertificate(field: JsonField): Certificate {
  return {
    metric: field.get("metric").string(),
    epsilon: field.get("epsilon").number(0, 1),
    risk: field.get("risk").number(0, 1),
    bound: field.get("bound").number(-1, 1),
    policyHash: field.get("policyHash").string(),
    details: Object.fromEntries(plainEntries(field)),
  };
}

function readCost(field: JsonField): Cost {
  field.object(["value", "unit", "source"]);
  return {
    value: field.get("value").number(0),
    unit: field.get("unit").string(),
    source: field.get("source").string(),
  };
}

function readCalibration(field: JsonField): Calibration {
  field.object(["levelHashes", "provider", "createdAt", "command"]);
  return {
    levelHashes: field
      .get("levelHashes")
      .items()
      .map((hash) => hash.string()),
    provider: field.get("provider").string(),
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

function plainEntries(field: JsonField): [string, unknown][] {
  return field.entries().map(([key, value]) => [key, value.value]);
}

function checkNames(field: JsonField, points: readonly OperatingPoint[]): void {
  if (points.length === 0) throw field.error("must list at least one operating point");
  const names = points.map((point) => point.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw field.error(`must have distinct names; "${twice}" stands there twice`);
}
