import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CascadeFile } from "../../../proto/files/cascade-file.ts";
import { canonicalJson, policyHash } from "../../../proto/files/policy-hash.ts";
import { parseCascadeFile } from "../../../proto/files/read-cascade-file.ts";
import { certificate, expectation } from "../../support/cascades.ts";

const CONFIDENCE = { function: "max_prob", kind: "logits", outputs: { scores: "logits" }, params: { temperature: 1 } };

function level(model: string): Record<string, unknown> {
  return {
    model,
    version: "1",
    inputs: { image: "image" },
    outputs: { logits: "logits" },
    confidence: structuredClone(CONFIDENCE),
  };
}

/** A valid file of three levels; the test changes one place. */
function valid(): Record<string, unknown> {
  return {
    formatVersion: 1,
    levels: [level("xs"), level("m"), { ...level("l"), confidence: null }],
    operatingPoints: [
      {
        name: "AP",
        gates: [
          { accept: 0.95, skip: [0.31], hopeless: { below: 0.02, action: "last" } },
          { accept: 0.9, skip: [] },
        ],
        expected: expectation(),
        certificate: certificate("sha256:0"),
      },
    ],
    thresholdPerformanceGraph: [
      {
        gates: [
          { accept: 1, skip: [] },
          { accept: 1, skip: [] },
        ],
        accuracy: 0.9,
        cost: 1,
      },
    ],
    default: "AP",
    calibration: {
      levelHashes: ["sha256:1"],
      provider: "cpu",
      createdAt: "2026-11-24",
      command: "hybridserve calibrate",
    },
  };
}

function parse(value: unknown): CascadeFile {
  return parseCascadeFile(JSON.stringify(value), "cascade.json");
}

/** Sets a value at a path such as "levels.0.model"; undefined removes it. */
function changed(path: string, value: unknown): Record<string, unknown> {
  const root = valid();
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  const parent = keys.reduce((node, key) => node[key] as Record<string, unknown>, root);
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return root;
}

const CERTIFICATE = "operatingPoints.0.certificate";
const EXPECTED = "operatingPoints.0.expected";
const GATE = "operatingPoints.0.gates.0";

const REFUSALS: readonly (readonly [string, unknown, string])[] = [
  ["formatVersion", 2, "formatVersion is 2; this hybridserve reads version 1"],
  ["formatVersion", undefined, "formatVersion is missing"],
  ["colour", "red", "colour is not a known key"],
  ["levels.0.colour", "red", "levels[0].colour is not a known key"],
  ["levels", [level("xs")], "levels must list at least two levels"],
  ["levels.1.model", undefined, "levels[1].model is missing"],
  ["levels.0.confidence", null, "levels[0] needs a confidence"],
  [
    "levels.0.confidence.kind",
    "score",
    'levels[0].confidence.kind must be one of "logits", "probabilities", "sigmoid"',
  ],
  ["levels.0.labelMap", [0, 0], "levels[0].labelMap must name every class from 0 to 1 exactly once"],
  ["levels.0.labelMap", [0, 2], "levels[0].labelMap[1] must be a number between 0 and 1"],
  ["levels.0.inputs", "image", "levels[0].inputs must be an object"],
  ["operatingPoints", [], "operatingPoints must list at least one operating point"],
  ["operatingPoints.0.gates", [{ accept: 1 }], "operatingPoints[0].gates must hold one gate for each of the 2 levels"],
  [`${GATE}.accept`, 2.5, "operatingPoints[0].gates[0].accept must be a number between 0 and 2"],
  [`${GATE}.accept`, undefined, "operatingPoints[0].gates[0].accept is missing"],
  [`${GATE}.skip`, [0.96], "operatingPoints[0].gates[0].skip[0] must not exceed 0.95"],
  [`${GATE}.skip`, [0.3, 0.2], "operatingPoints[0].gates[0].skip must hold at most 1 cuts"],
  [`${GATE}.hopeless.below`, 0.5, "operatingPoints[0].gates[0].hopeless.below must not exceed 0.31"],
  [`${GATE}.hopeless.action`, "drop", 'operatingPoints[0].gates[0].hopeless.action must be one of "accept", "last"'],
  [`${CERTIFICATE}.metric`, "luck", 'operatingPoints[0].certificate.metric must be one of "gap", "harm"'],
  [
    `${CERTIFICATE}.certifyUses`,
    0,
    "operatingPoints[0].certificate.certifyUses must be a number between 1 and 9007199254740991",
  ],
  [`${CERTIFICATE}.extra`, 0, "operatingPoints[0].certificate.extra is not a known key"],
  [`${EXPECTED}.reach`, [1, 0.4], "operatingPoints[0].expected.reach must hold 3 values, not 2"],
  [`${EXPECTED}.paths`, [[1]], "operatingPoints[0].expected.paths must hold 3 values, not 1"],
  [`${EXPECTED}.colour`, 1, "operatingPoints[0].expected.colour is not a known key"],
  [`${CERTIFICATE}.policyHash`, undefined, "operatingPoints[0].certificate.policyHash is missing"],
  ["default", "EO", 'default "EO" is not an operating point; there are: AP'],
];

describe("parseCascadeFile", () => {
  it("reads a whole file", () => {
    const file = parse(valid());
    assert.deepEqual(
      file.levels.map((each) => each.model),
      ["xs", "m", "l"],
    );
    assert.deepEqual(file.operatingPoints[0]?.gates[0], {
      accept: 0.95,
      skip: [0.31],
      hopeless: { below: 0.02, action: "last" },
    });
    assert.equal(file.operatingPoints[0]?.certificate?.samples, 10_000);
    assert.equal(file.thresholdPerformanceGraph.length, 1);
    assert.equal(file.calibration?.provider, "cpu");
  });

  it("reads what a calibration of recorded outputs writes: neither hashes nor a provider are known", () => {
    const calibration = { ...(valid()["calibration"] as object), levelHashes: ["", ""], provider: "" };
    assert.deepEqual(parse({ ...valid(), calibration }).calibration, calibration);
  });

  for (const [path, value, complaint] of REFUSALS) {
    it(`refuses ${path} = ${JSON.stringify(value)}`, () => {
      assert.throws(
        () => parse(changed(path, value)),
        (error: Error) => {
          assert.ok(error.message.startsWith(`cascade.json: ${complaint}`), error.message);
          return true;
        },
      );
    });
  }

  it("refuses what is not JSON, and two points of one name", () => {
    assert.throws(() => parseCascadeFile("{", "a/cascade.json"), /^InferenceError: a\/cascade.json: not valid JSON/);
    const twice = valid();
    const points = twice["operatingPoints"] as unknown[];
    assert.throws(() => parse({ ...twice, operatingPoints: [points[0], points[0]] }), /"AP" stands there twice/);
  });

  it("takes keys such as __proto__ for what they are: unknown", () => {
    const text = JSON.stringify(valid()).replace('"formatVersion"', '"__proto__":{},"formatVersion"');
    assert.throws(() => parseCascadeFile(text, "cascade.json"), /__proto__ is not a known key/);
  });
});

describe("policyHash", () => {
  function hash(path: string, value: unknown): string {
    const file = parse(changed(path, value));
    const [point] = file.operatingPoints;
    assert.ok(point);
    return policyHash(file, point);
  }
  const unchanged = hash("default", "AP");

  it("does not depend on key order, costs, names or certificates", () => {
    const reversed = parse(Object.fromEntries(Object.entries(valid()).reverse()));
    const [point] = reversed.operatingPoints;
    assert.ok(point);
    assert.equal(policyHash(reversed, point), unchanged);
    assert.equal(hash("levels.0.cost", { value: 1, unit: "J", source: "given" }), unchanged);
    assert.equal(hash("operatingPoints.0.certificate", null), unchanged);
    assert.match(unchanged, /^sha256:[0-9a-f]{64}$/);
  });

  for (const [path, value] of [
    ["levels.0.model", "other"],
    ["levels.0.version", "2"],
    ["levels.1.labelMap", [1, 0]],
    ["levels.0.confidence.params.temperature", 1.1],
    [`${GATE}.accept`, 0.94],
    [`${GATE}.skip`, [0.3]],
    [`${GATE}.hopeless`, null],
  ] as const) {
    it(`changes with ${path}`, () => assert.notEqual(hash(path, value), unchanged));
  }

  it("is the hash of canonical JSON", () => {
    assert.equal(canonicalJson({ b: [{ d: 1, c: 2 }], a: null }), '{"a":null,"b":[{"c":2,"d":1}]}');
  });
});
