import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { OperatingPoint } from "../../../proto/files/cascade-file.ts";
import { choosePoint, type OnDrift, PointController, type PointPolicy } from "../../../scheduler/cascade/controller.ts";
import { type GearState, NO_GEARS } from "../../../scheduler/cascade/gears.ts";
import { lastLevelOnlyPoint } from "../../../scheduler/cascade/policy.ts";
import { expectation, gate, point } from "../../support/cascades.ts";

function known(name: string, cost: number, disagreement: number): OperatingPoint {
  const expected = { ...expectation(), disagreement, cost: { value: cost, unit: "cpuSeconds", source: "measured" } };
  return { ...point(name, [gate(0.9), gate(0.8)]), expected };
}

const SAFE = known("safe", 0.5, 0.005);
const BASE = known("AP", 0.2, 0.02);
const CHEAP = known("cheap", 0.1, 0.04);
const CHEAPEST = known("cheapest", 0.05, 0.08);
const LAST = lastLevelOnlyPoint(3);
const IDLE: GearState = { gear: 0, sinceMs: Number.NEGATIVE_INFINITY };

function policy(overrides: Partial<PointPolicy> = {}): PointPolicy {
  return {
    base: BASE,
    lastLevelOnly: LAST,
    onDrift: "last_level",
    saferPoints: [SAFE, BASE, CHEAP],
    gears: {
      by: "queueDelayMs",
      gears: [
        { from: 50, point: CHEAP },
        { from: 200, point: CHEAPEST },
      ],
    },
    ...overrides,
  };
}

/** As a plan has them: the base first, from no load on. */
const BY_RATE: PointPolicy["gears"] = {
  by: "arrivalsPerSecond",
  gears: [
    { from: 0, point: BASE },
    { from: 150, point: CHEAP },
  ],
};

describe("choosePoint", () => {
  const cases: readonly (readonly [
    string,
    Partial<PointPolicy>,
    { requested?: OperatingPoint; drifted?: boolean; queueDelayMs?: number; arrivalsPerSecond?: number },
    OperatingPoint,
    string,
  ])[] = [
    ["the default when nothing speaks against it", {}, {}, BASE, "default"],
    [
      "the request's point before all else",
      {},
      { requested: CHEAP, drifted: true, queueDelayMs: 900 },
      CHEAP,
      "request",
    ],
    ["the last level after drift", {}, { drifted: true }, LAST, "drift"],
    ["the last level after drift, whatever the load", {}, { drifted: true, queueDelayMs: 900 }, LAST, "drift"],
    ["the safest point after drift, if that is wanted", { onDrift: "safer" }, { drifted: true }, SAFE, "drift"],
    ["no cheaper point that is less safe", { onDrift: "safer" }, { drifted: true, queueDelayMs: 60 }, SAFE, "drift"],
    ["the last level where none is safer", { onDrift: "safer", base: SAFE }, { drifted: true }, LAST, "drift"],
    ["the default after drift that is ignored", { onDrift: "ignore" }, { drifted: true }, BASE, "default"],
    ["a cheaper point under load", {}, { queueDelayMs: 50 }, CHEAP, "load"],
    ["the cheapest under heavy load", {}, { queueDelayMs: 500 }, CHEAPEST, "load"],
    ["no dearer point under load", { base: CHEAPEST }, { queueDelayMs: 60 }, CHEAPEST, "default"],
    [
      "a gear that is as safe as what drift allows",
      { onDrift: "safer", gears: { by: "queueDelayMs", gears: [{ from: 50, point: known("lean", 0.1, 0.004) }] } },
      { drifted: true, queueDelayMs: 60 },
      known("lean", 0.1, 0.004),
      "load",
    ],
    ["the default below the rate of a gear", { gears: BY_RATE }, { arrivalsPerSecond: 149 }, BASE, "default"],
    ["a cheaper point from its rate on", { gears: BY_RATE }, { arrivalsPerSecond: 150 }, CHEAP, "load"],
    ["by rate alone where gears go by rate", { gears: BY_RATE }, { queueDelayMs: 900 }, BASE, "default"],
    ["by delay alone where gears go by delay", {}, { arrivalsPerSecond: 900 }, BASE, "default"],
    [
      "no point of a plan that is dearer than the base",
      { base: CHEAPEST, gears: BY_RATE },
      { arrivalsPerSecond: 900 },
      CHEAPEST,
      "default",
    ],
    [
      "the last level after drift, whatever the rate",
      { gears: BY_RATE },
      { drifted: true, arrivalsPerSecond: 900 },
      LAST,
      "drift",
    ],
  ];
  for (const [title, overrides, signals, expected, reason] of cases) {
    it(`chooses ${title}`, () => {
      const { requested, drifted = false, queueDelayMs = 0, arrivalsPerSecond = 0 } = signals;
      const choice = choosePoint(policy(overrides), IDLE, { requested, drifted, queueDelayMs, arrivalsPerSecond }, 0);
      assert.deepEqual([choice.point, choice.reason], [expected, reason]);
    });
  }

  it("keeps the gear of the load while a request or drift chooses", () => {
    const signals = { requested: SAFE, drifted: true, queueDelayMs: 60, arrivalsPerSecond: 0 };
    assert.deepEqual(choosePoint(policy(), IDLE, signals, 7).gearState, { gear: 1, sinceMs: 7 });
  });
});

describe("PointController", () => {
  const options = {
    where: "cascade 'c'",
    points: [BASE, SAFE, point("raw", [gate(0), gate(0)])],
    selectable: new Set(["AP", "safe"]),
    operatingPoint: "AP",
    lastLevelOnly: LAST,
    onDrift: "last_level" as OnDrift,
    gears: NO_GEARS,
  };
  const QUIET = { requested: undefined, drifted: false, queueDelayMs: 0, arrivalsPerSecond: 0 };

  it("switches the point at run time, to one that may be chosen", () => {
    const controller = new PointController(options);
    controller.setOperatingPoint("safe");
    assert.equal(controller.operatingPoint.name, "safe");
    assert.equal(controller.choose(QUIET, 0).point, SAFE);
    assert.throws(() => controller.setOperatingPoint("nope"), { code: "INVALID_ARGUMENT", message: /no operating/ });
    assert.throws(() => controller.setOperatingPoint("raw"), /'raw', but it is uncertified/);
    assert.equal(controller.operatingPoint.name, "safe");
  });

  it("refuses unknown points and gears without a cost", () => {
    assert.throws(() => new PointController({ ...options, operatingPoint: "x" }), /'x'; there are: AP, safe, raw/);
    const gears = (name: string) => ({
      ...options,
      gears: { by: "arrivalsPerSecond" as const, gears: [{ from: 1, point: name }] },
    });
    assert.throws(() => new PointController(gears("x")), /no operating point 'x'/);
    assert.throws(() => new PointController(gears("raw")), /the gear 'raw' has no expected cost/);
  });
});
