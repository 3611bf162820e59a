import assert from "node:assert/strict";
import { it } from "node:test";
import { readCascadeParameters } from "../../../model-repo/backends/cascade-parameters.ts";
import { applyCascadePlacement } from "../../../model-repo/plan/apply-placement.ts";
import { cascadeFile, gate, level, point } from "../../support/cascades.ts";
import { readConfig } from "../../support/model-configs.ts";

const FILE = cascadeFile([level("small"), level("giant")], [point("AP", [gate(0.9)]), point("EO", [gate(0.5)])]);

function read(parameters: Readonly<Record<string, string>>) {
  const text = Object.entries(parameters)
    .map(([key, value]) => `parameters { key: "${key}" value: { string_value: "${value}" } }`)
    .join(" ");
  return readCascadeParameters(readConfig(`name: "M" backend: "cascade" max_batch_size: 4 ${text}`).config, FILE);
}

it("has defaults that change nothing", () => {
  assert.deepEqual(read({}), {
    operatingPoint: undefined,
    onLevelFailure: "fail",
    deadlineEscalation: true,
    shadowShare: 0,
    onDrift: "last_level",
    gears: { by: "queueDelayMs", gears: [] },
  });
});

it("reads everything", () => {
  const parameters = {
    operating_point: "EO",
    on_level_failure: "degrade",
    deadline_escalation: "false",
    shadow_share: "0.01",
    on_drift: "safer",
    gears: "AP@0, EO@12.5",
  };
  assert.deepEqual(read(parameters), {
    operatingPoint: "EO",
    onLevelFailure: "degrade",
    deadlineEscalation: false,
    shadowShare: 0.01,
    onDrift: "safer",
    gears: {
      by: "queueDelayMs",
      gears: [
        { point: "AP", from: 0 },
        { point: "EO", from: 12.5 },
      ],
    },
  });
});

it("reads gears by arrival rate, as a plan writes them", () => {
  assert.deepEqual(read({ gears: "AP@0/s,EO@149.87654321/s" }).gears, {
    by: "arrivalsPerSecond",
    gears: [
      { point: "AP", from: 0 },
      { point: "EO", from: 149.87654321 },
    ],
  });
  const { config } = readConfig('name: "M" backend: "cascade" max_batch_size: 4');
  const placed = applyCascadePlacement(config, { operatingPoint: "AP", gears: "AP@0/s,EO@149.87654321/s" });
  assert.deepEqual(readCascadeParameters(placed, FILE).gears, read({ gears: "AP@0/s,EO@149.87654321/s" }).gears);
  assert.deepEqual(read({ gears: " EO@20/s " }).gears, { by: "arrivalsPerSecond", gears: [{ point: "EO", from: 20 }] });
});

const refusals: readonly (readonly [string, Readonly<Record<string, string>>, RegExp])[] = [
  [
    "unknown keys",
    { shadow_shar: "0" },
    /unknown parameter 'shadow_shar'; did you mean "shadow_share"\?; known: operating_point, /,
  ],
  ["unknown points", { operating_point: "XX" }, /no operating point 'XX'; there are: AP, EO/],
  [
    "unknown words",
    { on_level_failure: "degrad" },
    /'on_level_failure' is 'degrad', it takes one of fail, degrade; did you mean "degrade"/,
  ],
  ["a drift policy it does not know", { on_drift: "x" }, /it takes one of last_level, safer, ignore/],
  ["no boolean", { deadline_escalation: "maybe" }, /'deadline_escalation' is 'maybe', it takes true or false/],
  ["names of objects as booleans", { deadline_escalation: "toString" }, /it takes true or false/],
  ["a share above 1", { shadow_share: "2" }, /'shadow_share' is '2', it takes a share from 0 to 1/],
  ["a share that is empty", { shadow_share: "" }, /it takes a share/],
];
for (const [title, parameters, message] of refusals) {
  it(`refuses ${title}`, () => {
    assert.throws(() => read(parameters), message);
  });
}

const FORMS =
  "gears by rising load, either POINT@MILLISECONDS of the last level's queue delay, such as AP@0,EO@50, or " +
  "POINT@RATE/s, requests a second, such as AP@0/s,EO@150/s";
const MIXED = "queue delays (POINT@MILLISECONDS) or arrival rates (POINT@RATE/s), not both in one list";
const gearRefusals: readonly (readonly [string, string])[] = [
  ["AP", `${FORMS}; not 'AP'`],
  ["", `${FORMS}; not ''`],
  ["AP@0, EO@", `${FORMS}; not 'EO@'`],
  ["AP@0,EO@-1/s", `${FORMS}; not 'EO@-1/s'`],
  ["AP@0/m", `${FORMS}; not 'AP@0/m'`],
  ["AP@0,EO@150/s", MIXED],
  ["AP@0/s,EO@50", MIXED],
  ["AP@0,EO@0", "rising delays; 0 comes after 0"],
  ["AP@20/s,EO@10.5/s", "rising rates; 10.5 comes after 20"],
  ["AP@0,XX@5", "points of the cascade: AP, EO; not 'XX'"],
];
for (const [gears, expected] of gearRefusals) {
  it(`refuses the gears '${gears}'`, () => {
    const message = `cascade 'M': parameter 'gears' is '${gears}', it takes ${expected}`;
    assert.throws(() => read({ gears }), { code: "INVALID_ARGUMENT", message });
  });
}
