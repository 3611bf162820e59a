import assert from "node:assert/strict";
import { it } from "node:test";
import { readCascadeParameters } from "../../../model-repo/backends/cascade-parameters.ts";
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
    gears: [],
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
    gears: [
      { point: "AP", queueDelayMs: 0 },
      { point: "EO", queueDelayMs: 12.5 },
    ],
  });
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
  ["gears without delay", { gears: "AP" }, /it takes POINT@MILLISECONDS/],
  ["gears that do not rise", { gears: "AP@0,EO@0" }, /it takes rising delays/],
  ["gears of other points", { gears: "AP@0,XX@5" }, /points of the cascade: AP, EO; not 'XX'/],
];
for (const [title, parameters, message] of refusals) {
  it(`refuses ${title}`, () => {
    assert.throws(() => read(parameters), message);
  });
}
