import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseProfileOptions } from "../../../cli/profile/options.ts";

const NEEDED = ["--model-repository", "models", "--model", "m", "--output", "profile.json"];

describe("flags of profile", () => {
  it("have defaults", () => {
    const options = parseProfileOptions(NEEDED);
    assert.ok(options !== "help");
    const { cacheDirectory, ...rest } = options;
    assert.match(cacheDirectory, /profile$/);
    assert.deepEqual(rest, {
      repositories: ["models"],
      models: ["m"],
      devices: undefined,
      output: "profile.json",
      batchSizes: undefined,
      samples: 100,
      timeLimitMs: 600_000,
      data: undefined,
      shapes: new Map(),
      hasGraph: true,
      meters: {},
      json: false,
    });
  });

  it("are read", () => {
    const options = parseProfileOptions([
      ...NEEDED,
      ...["--model", "n", "--model", "m", "--model-store", "more", "--devices", "d.json", "--batch-sizes", "8, 1,8"],
      ...["--samples", "5", "--time-limit", "30", "--shape", "a:b:1,2", "--shape", "c:7", "--no-graph", "--cache", ""],
      ...["--sysfs-root", "/host/sys", "--nvml-library", "/n.so"],
    ]);
    assert.ok(options !== "help");
    assert.deepEqual(options.repositories, ["models", "more"]);
    assert.deepEqual(options.models, ["m", "n"]);
    assert.deepEqual(options.batchSizes, [1, 8]);
    assert.deepEqual([options.samples, options.timeLimitMs], [5, 30_000]);
    assert.deepEqual(
      [...options.shapes],
      [
        ["a:b", [1, 2]],
        ["c", [7]],
      ],
    );
    assert.deepEqual(options.meters, { sysfsRoot: "/host/sys", nvmlLibrary: "/n.so" });
    assert.deepEqual([options.hasGraph, options.cacheDirectory, options.devices], [false, "", "d.json"]);
  });

  const mistakes: readonly (readonly [readonly string[], RegExp])[] = [
    [NEEDED.slice(2), /--model-repository DIR/],
    [NEEDED.filter((word) => word !== "--model" && word !== "m"), /--model NAME/],
    [NEEDED.slice(0, 4), /--output profile\.json/],
    [[...NEEDED, "--samples", "0"], /--samples '0' must be a whole number between 1/],
    [[...NEEDED, "--time-limit", "1.5"], /--time-limit '1\.5'/],
    [[...NEEDED, "--batch-sizes", "1,,2"], /--batch-sizes ''/],
    [[...NEEDED, "--shape", "ids"], /--shape 'ids' must be an input and its sizes, such as ids:128/],
    [[...NEEDED, "--shape", "ids:-1"], /--shape '-1'/],
    [[...NEEDED, "--sample", "1"], /--sample/],
  ];
  for (const [argv, text] of mistakes) {
    it(`refuse ${argv.slice(-2).join(" ")}`, () => assert.throws(() => parseProfileOptions(argv), text));
  }
});
