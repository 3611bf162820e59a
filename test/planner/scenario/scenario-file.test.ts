import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { checkRatio, PAPER_RATIO } from "../../../planner/scenario/conditions.ts";
import { energyRatio } from "../../../planner/scenario/energy-ratio.ts";
import { readScenario } from "../../../planner/scenario/scenario-file.ts";
import { ratioConditions } from "../../../planner/scenario/scenario-problem.ts";
import { sampleJson, sampleScenario } from "./sample-scenario.ts";

const FOLDER = new URL("../../../examples/planner/scenarios/", import.meta.url);
const FAIR = { baselineBatching: "any", unusedDevices: "off" } as const;

function example(name: string) {
  return readScenario(readFileSync(new URL(name, FOLDER), "utf8"), name);
}

test("every scenario file is valid and says where its figures come from", () => {
  const files = readdirSync(FOLDER);
  assert.ok(files.length >= 8);
  for (const name of files)
    assert.ok(
      example(name).sources.every((source) => source.length > 20),
      name,
    );
});

test("a scenario as it is read", () => {
  const scenario = sampleScenario(0.05);
  assert.equal(scenario.devices.devices.length, 300);
  assert.deepEqual([...scenario.speeds], [["gpu", 1]]);
  assert.deepEqual(scenario.workload.dataflow.levels, ["small", "middle", "giant"]);
  assert.deepEqual(scenario.levels[2]?.times, [{ rows: 1, ms: 1600 }]);
  assert.equal(scenario.certificate, null);
});

test("complaints name file and field", () => {
  const json = sampleJson(0.05) as { workload: Record<string, unknown>; levels: Record<string, unknown>[] };
  const reads = (changes: Record<string, unknown>) => () =>
    readScenario(JSON.stringify({ ...json, ...changes }), "scenario.json");
  const withTimes = (times: unknown[]) => ({ levels: json.levels.map((level) => ({ ...level, times })) });
  const withWorkload = (changes: Record<string, unknown>) => ({ workload: { ...json.workload, ...changes } });
  assert.throws(reads({ formatVersion: 2 }), /scenario.json: formatVersion must be 1$/);
  assert.throws(reads({ extra: 1 }), /scenario.json: extra is not a known key/);
  assert.throws(reads({ sources: [] }), /sources must say where the figures come from/);
  assert.throws(reads({ speeds: { tpu: 2 } }), /speeds.tpu is not a known key/);
  assert.throws(reads({ rates: [2, 1] }), /rates must rise/);
  assert.throws(reads({ utilisationCap: 0 }), /utilisationCap must be above 0/);
  assert.throws(
    reads({ levels: json.levels.slice(1) }),
    /levels must be the levels of workload.dataflow in their order/,
  );
  assert.throws(reads(withTimes([{ rows: 2, ms: 1 }])), /levels\[0\].times must begin with the time of one row/);
  assert.throws(
    reads(
      withTimes([
        { rows: 1, ms: 2 },
        { rows: 4, ms: 1 },
      ]),
    ),
    /levels\[0\].times must not fall in 'ms'/,
  );
  assert.throws(reads(withWorkload({ dataflow: null })), /workload must hold a 'dataflow'/);
  assert.throws(reads(withWorkload({ rowsPerRequest: 2 })), /workload.rowsPerRequest must be 1 in a scenario/);
  assert.throws(
    reads(withWorkload({ arrivals: { process: "trace", file: "a.txt" } })),
    /workload.arrivals must not be a trace/,
  );
});

test("the paper's conditions give the paper's ratio at large load, and no rate of a single giant does", () => {
  const scenario = example("paper-conditions.json");
  const limit = ratioConditions(scenario, Number.POSITIVE_INFINITY, FAIR);
  assert.equal(energyRatio({ ...limit, shadowShare: 0 }).ratio.toFixed(1), "19.8");
  assert.equal(energyRatio(limit).ratio.toFixed(1), "16.7");
  assert.ok(energyRatio({ ...ratioConditions(scenario, 20, FAIR), shadowShare: 0 }).ratio < 11);
});

test("conditions of 19.8x: met under the paper's conditions but for the certificate", () => {
  const scenario = sampleScenario(0.036, { rates: [20, 50] });
  const { conditions, ceiling } = checkRatio(scenario, PAPER_RATIO);
  assert.deepEqual(
    conditions.map(({ isMet }) => isMet),
    [true, true, true, false],
  );
  assert.ok(ceiling > 19.8);
  assert.equal(conditions[2]?.found, "50 requests/s");
});

test("conditions of 19.8x: our measured cascades meet only the certificate", () => {
  for (const name of ["fashion-mnist.json", "letter.json", "sums.json"]) {
    const { conditions, ceiling } = checkRatio(example(name), PAPER_RATIO);
    assert.deepEqual(
      conditions.map(({ isMet }) => isMet),
      [false, false, false, true],
      name,
    );
    assert.ok(ceiling > 1 && ceiling < 8, `${name}: ${ceiling}`);
  }
});
