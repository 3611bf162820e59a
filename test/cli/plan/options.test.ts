import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parsePlanOptions } from "../../../cli/plan/options.ts";

const NEEDED = [
  ...["--model-repository", "models", "--profile", "p.json", "--devices", "d.json", "--workload", "w.json"],
  ...["--objective", "throughput", "--output", "plan"],
];

describe("flags of plan", () => {
  it("have defaults", () => {
    const options = parsePlanOptions(NEEDED);
    assert.ok(options !== "help");
    assert.deepEqual(options, {
      repositories: ["models"],
      profile: "p.json",
      devices: "d.json",
      workload: "w.json",
      cascade: undefined,
      operatingPoint: undefined,
      recorded: undefined,
      objective: "throughput",
      utilisationCap: 0.8,
      memoryShare: 0.9,
      copies: 1,
      unusedDevices: "off",
      samples: 30,
      requests: 100_000,
      seed: 1,
      solverTimeLimitMs: 120_000,
      hasSolver: true,
      data: undefined,
      shapes: new Map(),
      output: "plan",
      json: false,
    });
  });

  const mistakes: readonly [string[], RegExp][] = [
    [[], /name a repository with --model-repository DIR/],
    [NEEDED.slice(0, 2), /give --profile profile\.json/],
    [NEEDED.slice(0, -2), /give --output DIR/],
    [
      [...NEEDED, "--objective", "energi"],
      /--objective 'energi' must be one of throughput, energy.*did you mean.*energy/,
    ],
    [[...NEEDED, "--utilisation-cap", "0"], /--utilisation-cap '0' must be a share above 0 and at most 1/],
    [[...NEEDED, "--memory-share", "1.5"], /--memory-share '1\.5' must be a share/],
    [[...NEEDED, "--copies", "0"], /--copies '0' must be a whole number between 1 and 1000/],
    [[...NEEDED, "--operating-point", "AP"], /--operating-point is a cascade's: name that with --cascade/],
    [
      [...NEEDED, "--recorded", "levels.npz"],
      /--recorded holds answers of a cascade's levels: name that with --cascade/,
    ],
    [[...NEEDED, "--shape", "128"], /--shape '128' must be an input and its sizes, such as ids:128/],
  ];
  for (const [argv, text] of mistakes) {
    it(`refuses ${argv.slice(-2).join(" ") || "nothing"}`, () => {
      assert.throws(() => parsePlanOptions(argv), text);
    });
  }
});
