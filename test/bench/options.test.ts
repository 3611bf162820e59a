/** The bench's command line. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HELP, parseOptions } from "../../bench/options.ts";

test("the defaults are the specified points", () => {
  const options = parseOptions([]);
  assert.deepEqual(options.concurrencies, [1, 8, 32, 128]);
  assert.equal(options.connections, 1);
  assert.deepEqual(options.only, []);
});

test("--quick is shorter, and what is given explicitly wins", () => {
  const [quick, full] = [parseOptions(["--quick"]), parseOptions([])];
  assert.ok(quick.rounds * quick.measureMs < (full.rounds * full.measureMs) / 5);
  assert.equal(parseOptions(["--quick", "--rounds", "2"]).rounds, 2);
});

test("wrong values and unknown flags are refused by name", () => {
  assert.throws(() => parseOptions(["--seconds", "0"]), /--seconds takes a positive number, not "0"/);
  assert.throws(() => parseOptions(["--concurrency", "1,x"]), /--concurrency takes a positive number, not "x"/);
  assert.throws(() => parseOptions(["--rounds", "1.5"]), /--rounds takes whole numbers, not "1.5"/);
  assert.throws(() => parseOptions(["--nosuch"]), /nosuch/);
});

test("the help names every flag", () => {
  for (const flag of [
    "only",
    "concurrency",
    "connections",
    "seconds",
    "rounds",
    "compare",
    "cpu-prof",
    "json",
    "quick",
  ]) {
    assert.match(HELP, new RegExp(`--${flag}\\b`));
  }
});
