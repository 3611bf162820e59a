/** A cascade whose gears go by arrival rate, as a plan sets them, in virtual time. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { OperatingPoint } from "../../../proto/files/cascade-file.ts";
import { lastLevelOnlyPoint } from "../../../scheduler/cascade/policy.ts";
import { expectation, gate, point } from "../../support/cascades.ts";
import { ask, MEDIUM, type SetUp, setUp } from "./three-levels.ts";

function known(name: string, accept: number, cost: number, disagreement: number): OperatingPoint {
  const expected = { ...expectation(), disagreement, cost: { value: cost, unit: "cpuSeconds", source: "measured" } };
  return { ...point(name, [gate(accept), gate(accept)]), expected };
}

const POINTS = [known("AP", 0.8, 0.2, 0.02), known("EO", 0.5, 0.1, 0.04), known("safe", 0.9, 0.4, 0.005)];
const GEARS = {
  by: "arrivalsPerSecond",
  gears: [
    { from: 0, point: "AP" },
    { from: 20, point: "EO" },
  ],
} as const;

function served(serving: SetUp["serving"] = {}) {
  const set = setUp({ points: POINTS, selectable: ["AP", "EO", "safe"], serving: { gears: GEARS, ...serving } });
  const { clock, cascade } = set;
  const sent: Promise<{ readonly point: string; readonly atMs: number }>[] = [];
  const send = async () => {
    const atMs = clock.now();
    const { parameters } = await cascade.infer(ask("r", [MEDIUM]));
    return { point: String(parameters.get("cascade_operating_point")?.value), atMs };
  };
  const burst = (requests: number) => {
    for (let i = 0; i < requests; i++) sent.push(send());
  };
  const load = async (perSecond: number, seconds: number) => {
    for (let i = 0; i < perSecond * seconds; i++) {
      burst(1);
      await clock.advance(1_000 / perSecond);
    }
  };
  /** Which points served, in the order of the requests, and from when on. */
  const changes = async () => {
    await clock.advance(1_000);
    const answers = await Promise.all(sent);
    const firsts = answers.filter(({ point: name }, i) => name !== answers[i - 1]?.point);
    return { points: firsts.map((first) => first.point), timesMs: firsts.map((first) => first.atMs) };
  };
  return { ...set, changes, load, burst };
}

const ALARM = { detector: "disagreement", text: "more than was certified", atEpochMs: 0 } as const;

describe("load that rises over the threshold of a plan and falls again", () => {
  it("changes the gear in and out once, as the mean of five seconds crosses", async () => {
    const { cascade, changes, load } = served();
    await load(10, 8);
    assert.deepEqual([cascade.gear, Math.round(cascade.arrivalsPerSecond)], [1, 10]);
    await load(25, 8);
    assert.deepEqual([cascade.gear, Math.round(cascade.arrivalsPerSecond)], [2, 25]);
    await load(10, 8);
    assert.deepEqual([cascade.gear, Math.round(cascade.arrivalsPerSecond)], [1, 10]);
    const { points, timesMs } = await changes();
    assert.deepEqual(points, ["AP", "EO", "AP"]);
    // 10 + 15 s / 5 reaches 20 after 3.3 s; 25 - 15 s / 5 is below 18 after 2.3 s
    const [, inMs = 0, outMs = 0] = timesMs;
    assert.ok(inMs > 11_000 && inMs < 12_000, `in at ${inMs} ms`);
    assert.ok(outMs > 18_000 && outMs < 19_000, `out at ${outMs} ms`);
  });

  it("stays in a gear while the rate is a little below its threshold", async () => {
    const { changes, load } = served();
    for (const perSecond of [20, 19, 20, 19]) await load(perSecond, 6);
    assert.deepEqual((await changes()).points, ["AP", "EO"]);
  });

  it("takes a burst into the mean: a gear for the seconds it lasts in it, not to and fro", async () => {
    const { clock, changes, load, burst } = served();
    await load(10, 6);
    burst(30); // 10 + 30 / 5 a second
    await load(10, 6);
    assert.deepEqual((await changes()).points, ["AP"]);
    const burstMs = clock.now();
    burst(80);
    await load(10, 6);
    const { points, timesMs } = await changes();
    const [, inMs = 0, outMs = 0] = timesMs;
    assert.deepEqual([points, inMs], [["AP", "EO", "AP"], burstMs]);
    assert.ok(outMs - inMs >= 5_000 && outMs - inMs < 5_500, `${outMs - inMs} ms in gear`);
  });
});

describe("gears by arrival rate", () => {
  it("only become safer by drift, at any load", async () => {
    for (const [onDrift, after] of [
      ["safer", "safe"],
      ["last_level", lastLevelOnlyPoint(3).name],
      ["ignore", "AP"],
    ] as const) {
      const { cascade, changes, load } = served({ onDrift });
      await load(25, 6);
      assert.equal(cascade.gear, 2);
      cascade.resumeDrift({ ...cascade.driftState, alarm: ALARM });
      await load(25, 2);
      await load(10, 6);
      assert.deepEqual((await changes()).points, ["AP", "EO", after]);
    }
  });

  it("have no effect where the base is cheaper", async () => {
    const { cascade, changes, load } = served({ operatingPoint: "EO" });
    await load(10, 6);
    await load(25, 6);
    assert.deepEqual([(await changes()).points, cascade.gear], [["EO"], 2]);
  });

  it("do not count probes, and go on after a reload", async () => {
    const { clock, cascade, changes, load } = served();
    const probes = Array.from({ length: 100 }, () => cascade.infer({ ...ask("p", [MEDIUM]), isProbe: true }));
    await clock.advance(1_000);
    await Promise.all(probes);
    assert.equal(cascade.arrivalsPerSecond, 0);
    await load(25, 6);
    const { clock: otherClock, cascade: reloaded } = served();
    await otherClock.advance(clock.now());
    assert.equal(reloaded.arrivalsPerSecond, 0);
    reloaded.succeed(cascade);
    assert.equal(Math.round(reloaded.arrivalsPerSecond), 25);
    const answer = reloaded.infer(ask("r", [MEDIUM]));
    await otherClock.advance(100);
    assert.equal((await answer).parameters.get("cascade_operating_point")?.value, "EO");
    await changes();
  });
});
