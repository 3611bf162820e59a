import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CALIBRATE_HELP, CALIBRATE_OPTIONS, parseCalibrateOptions } from "../../../cli/calibrate/options.ts";

const NEEDED = ["--model-repository", "m", "--model", "c", "--data", "d.npz"];

function parse(...argv: readonly string[]) {
  const options = parseCalibrateOptions([...NEEDED, ...argv]);
  assert.ok(options !== "help");
  return options;
}

describe("parseCalibrateOptions", () => {
  it("has the documented defaults", () => {
    const options = parse();
    assert.deepEqual([options.maxDrop, options.risk, options.metric, options.confidence], [0.005, 0.05, "gap", "auto"]);
    assert.deepEqual([options.levels, options.budgets, options.costs, options.hopeless], [[], [], undefined, null]);
    assert.deepEqual(
      [options.heldOut, options.dryRun, options.json, options.costUnit],
      [false, false, false, "joules"],
    );
    assert.match(options.cacheDirectory, /hybridserve.calibrate$/);
  });

  it("reads lists, numbers and what may be repeated", () => {
    const options = parse(
      ...["--model-store", "n", "--levels", "a, b,c", "--costs", "1,2.5,3e2", "--budget", "0.1", "--budget", "0.25"],
      ...["--cache", "", "--hopeless", "accept", "--metric", "harm", "--scale", "0.5"],
    );
    assert.deepEqual(options.repositories, ["m", "n"]);
    assert.deepEqual(options.levels, ["a", "b", "c"]);
    assert.deepEqual(options.costs, [1, 2.5, 300]);
    assert.deepEqual(options.budgets, [0.1, 0.25]);
    assert.deepEqual(
      [options.cacheDirectory, options.hopeless, options.metric, options.scale],
      ["", "accept", "harm", 0.5],
    );
  });

  const wrong: readonly [readonly string[], RegExp][] = [
    [["--max-drop", "0.6"], /--max-drop '0\.6' must be a number between 0 and 0\.5/],
    [["--max-drop", ""], /--max-drop '' must be a number/],
    [["--risk", "0"], /--risk '0' must be a number/],
    [["--risk", "five"], /--risk 'five' must be a number/],
    [["--budget", "10"], /--budget '10' must be a number between 0 and 1/],
    [["--costs", "1,,2"], /--costs '' must be a number/],
    [["--metric", "drop"], /--metric 'drop' must be one of gap, harm/],
    [["--hopeless", "last"], /--hopeless 'last' must be one of accept/],
  ];
  for (const [argv, message] of wrong) {
    it(`refuses ${argv.join(" ")}`, () => assert.throws(() => parse(...argv), message));
  }

  it("helps before it complains", () => {
    assert.equal(parseCalibrateOptions(["--help"]), "help");
  });

  it("describes every flag in its help", () => {
    for (const flag of Object.keys(CALIBRATE_OPTIONS)) assert.match(CALIBRATE_HELP, new RegExp(`--${flag}\\b`));
  });
});
