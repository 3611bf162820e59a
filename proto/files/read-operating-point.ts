/** Reads the operating points of cascade.json: gates, what they did on held-out rows, and their certificate. */
import {
  CERTIFIED_METRICS,
  type Certificate,
  type Cost,
  type Expectation,
  type Gate,
  NEVER,
  type OperatingPoint,
} from "./cascade-file.ts";
import type { JsonField } from "./json-field.ts";

export function readOperatingPoint(field: JsonField, levels: number): OperatingPoint {
  field.object(["name", "gates", "expected", "certificate"]);
  const expected = field.optional("expected");
  const certificate = field.optional("certificate");
  return {
    name: field.get("name").string(),
    gates: readGates(field.get("gates"), levels),
    expected: expected === undefined || expected.isNull() ? null : readExpectation(expected, levels),
    certificate: certificate === undefined || certificate.isNull() ? null : readCertificate(certificate),
  };
}

export function readGates(field: JsonField, levels: number): Gate[] {
  const gates = field.items();
  if (gates.length !== levels - 1) {
    throw field.error(`must hold one gate for each of the ${levels - 1} levels before the last, not ${gates.length}`);
  }
  return gates.map((gate, k) => readGate(gate, levels - 2 - k));
}

/** One gate; `skippable` is how many levels lie behind the next one. */
function readGate(field: JsonField, skippable: number): Gate {
  field.object(["accept", "skip", "hopeless"]);
  const accept = field.get("accept").number(0, NEVER);
  const skipField = field.optional("skip");
  const skip: number[] = [];
  for (const cut of skipField?.items() ?? []) {
    const highest = skip.at(-1) ?? accept;
    if (cut.number(0, NEVER) > highest) throw cut.error(`must not exceed ${highest}, the cut before it`);
    skip.push(cut.number(0, NEVER));
  }
  if (skipField !== undefined && skip.length > skippable) {
    throw skipField.error(`must hold at most ${skippable} cuts: there are no more levels to skip to`);
  }
  const hopelessField = field.optional("hopeless");
  if (hopelessField === undefined || hopelessField.isNull()) return { accept, skip, hopeless: null };
  const below = hopelessField.object(["below", "action"]).get("below");
  const highest = skip.at(-1) ?? accept;
  if (below.number(0, NEVER) > highest) throw below.error(`must not exceed ${highest}, the cut above it`);
  const action = hopelessField.get("action").oneOf(["accept", "last"]);
  return { accept, skip, hopeless: { below: below.number(0, NEVER), action } };
}

function readExpectation(field: JsonField, levels: number): Expectation {
  field.object([
    "accuracy",
    "accuracyInterval",
    "lastLevelAccuracy",
    "reach",
    "paths",
    "harm",
    "gap",
    "disagreement",
    "confidences",
    "cost",
  ]);
  const confidences = field.optional("confidences");
  const interval = field.optional("accuracyInterval");
  return {
    accuracy: field.get("accuracy").number(0, 1),
    accuracyInterval: interval === undefined || interval.isNull() ? null : readInterval(interval),
    lastLevelAccuracy: field.get("lastLevelAccuracy").number(0, 1),
    reach: readShares(field.get("reach"), levels),
    paths: itemsOf(field.get("paths"), levels).map((row) => readShares(row, levels)),
    harm: field.get("harm").number(0, 1),
    gap: field.get("gap").number(-1, 1),
    disagreement: field.get("disagreement").number(0, 1),
    confidences:
      confidences === undefined || confidences.isNull()
        ? null
        : itemsOf(confidences, levels).map((row) => row.items().map((share) => share.number(0, 1))),
    cost: readCost(field.get("cost")),
  };
}

function readInterval(field: JsonField): [number, number] {
  const [low, high] = itemsOf(field, 2).map((item) => item.number(0, 1));
  return [low as number, high as number]; // two items
}

function readShares(field: JsonField, count: number): number[] {
  return itemsOf(field, count).map((item) => item.number(0, 1));
}

/** Exactly `count` items. */
function itemsOf(field: JsonField, count: number): JsonField[] {
  const items = field.items();
  if (items.length !== count) throw field.error(`must hold ${count} values, not ${items.length}`);
  return items;
}

function readCertificate(field: JsonField): Certificate {
  field.object([
    "metric",
    "epsilon",
    "risk",
    "bound",
    "method",
    "reference",
    "scope",
    "pathIndex",
    "samples",
    "losses",
    "disagreementBound",
    "tuneHash",
    "certifyHash",
    "certifyUses",
    "policyHash",
  ]);
  return {
    metric: field.get("metric").oneOf(CERTIFIED_METRICS),
    epsilon: field.get("epsilon").number(0, 1),
    risk: field.get("risk").number(0, 1),
    bound: field.get("bound").number(-1, 1),
    method: field.get("method").string(),
    reference: field.get("reference").integer(0),
    scope: field.get("scope").string(),
    pathIndex: field.get("pathIndex").integer(0),
    samples: field.get("samples").integer(0),
    losses: field.get("losses").integer(0),
    disagreementBound: field.get("disagreementBound").number(0, 1),
    tuneHash: field.get("tuneHash").string(),
    certifyHash: field.get("certifyHash").string(),
    certifyUses: field.get("certifyUses").integer(1),
    policyHash: field.get("policyHash").string(),
  };
}

export function readCost(field: JsonField): Cost {
  field.object(["value", "unit", "source"]);
  return {
    value: field.get("value").number(0),
    unit: field.get("unit").string(),
    source: field.get("source").string(),
  };
}
