/** The gates' rules at and beyond their limits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { overheadGate, ratioGate, refusalGate } from "../../bench/gates.ts";

test("the ratio is the median of the rounds' ratios, and the limit itself passes", () => {
  const rounds = [
    { serverUs: 135, floorUs: 100 },
    { serverUs: 500, floorUs: 100 },
    { serverUs: 120, floorUs: 100 },
  ];
  const gate = ratioGate("identity", rounds, 1.35);
  assert.equal(gate.passed, true);
  assert.match(gate.text, /^1\.35x .* at most 1\.35x \(135 against 100 us, 3 rounds\)$/);
  assert.equal(ratioGate("identity", rounds, 1.34).passed, false);
});

test("the overhead is the median of the rounds' differences", () => {
  const rounds = [
    { serverUs: 450, floorUs: 300 },
    { serverUs: 900, floorUs: 300 },
    { serverUs: 310, floorUs: 300 },
  ];
  assert.equal(overheadGate("l", rounds, 150).passed, true);
  assert.equal(overheadGate("l", rounds, 149).passed, false);
});

test("the refusal's time is the median, below the limit and not at it", () => {
  assert.equal(refusalGate("empty", [9, 4.9, 0.1], 5).passed, true);
  assert.equal(refusalGate("empty", [9, 5, 0.1], 5).passed, false);
  assert.equal(refusalGate("empty", [], 5).passed, false);
});

test("a gate without rounds fails", () => {
  assert.equal(ratioGate("identity", [], 1.35).passed, false);
  assert.equal(overheadGate("l", [], 150).passed, false);
});
