import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InferenceError } from "../../../proto/errors.ts";
import { NEVER, type OperatingPoint } from "../../../proto/files/cascade-file.ts";
import type { DriftAlarm } from "../../../scheduler/cascade/drift.ts";
import { certificate, gate, level, point } from "../../support/cascades.ts";
import { integers } from "../../support/tensors.ts";
import { ask, EASY, HARD, parameters, type SetUp, setUp } from "./three-levels.ts";

const GONE = new InferenceError("UNAVAILABLE", "the level is gone");
/** The last level answers class 1 where the first says 0. */
const EASY_BUT_WRONG = [0.95, 0.5, 0.1];

describe("shadows and drift", () => {
  function certified(disagreementBound: number): OperatingPoint {
    const promise = { ...certificate("sha256:p"), disagreementBound };
    return { ...point("AP", [gate(0.9), gate(0.8)]), certificate: promise };
  }

  it("asks the last level about rows of smaller ones, after the answer, and counts what differs", async () => {
    const { clock, cascade, l } = setUp({ serving: { shadowShare: 1 } });
    const answer = cascade.infer(ask("a", [EASY, EASY_BUT_WRONG, HARD]));
    await clock.advance(30);
    await answer;
    assert.equal(l.batches.length, 2, "the hard row, then the shadows");
    assert.equal(cascade.cascadeStatistics.shadowRows, 0);
    await clock.advance(10);
    const { shadowRows, shadowDisagreements, rowsByLevel } = cascade.cascadeStatistics;
    assert.deepEqual([shadowRows, shadowDisagreements], [2, 1]);
    assert.deepEqual(rowsByLevel, [3, 1, 3]);
    assert.equal(cascade.statistics.success.count, 1, "a shadow is no request of a user");
  });

  it("waits while rows wait for the last level, and drops what finds no room", async () => {
    const { clock, cascade, l } = setUp({ serving: { shadowShare: 1 }, levelSignature: { maxBatchSize: 1 } });
    const last = parameters({ cascade_min_level: { kind: "int64", value: 2n } });
    const users = cascade.infer(ask("u", new Array<number[]>(16).fill(HARD), { parameters: last }));
    const easy = Array.from({ length: 5 }, () => cascade.infer(ask("s", new Array<number[]>(16).fill(EASY))));
    await clock.advance(150);
    assert.ok(l.batchIds.every((id) => id === "u"));
    await clock.advance(5_000);
    await Promise.all([users, ...easy]);
    const { shadowRows, shadowRowsDropped } = cascade.cascadeStatistics;
    assert.equal(shadowRows + shadowRowsDropped, 80);
  });

  it("never holds up closing, and survives a last level that fails", async () => {
    const { clock, cascade, l } = setUp({ serving: { shadowShare: 1 } });
    l.failure = GONE;
    void cascade.infer(ask("a", [EASY]));
    await clock.advance(25);
    assert.equal(cascade.cascadeStatistics.shadowRowsFailed, 1);
    void cascade.infer(ask("b", [EASY]));
    await clock.advance(12);
    const atMs = clock.now();
    await cascade.close();
    assert.equal(clock.now(), atMs);
    await clock.advance(0);
    assert.equal(cascade.cascadeStatistics.shadowRowsDropped, 1);
  });

  it("goes to the last level once it disagrees more than was certified, also after a reload", async () => {
    const alarms: DriftAlarm[] = [];
    const serving = { shadowShare: 1, onDriftAlarm: (alarm: DriftAlarm) => alarms.push(alarm) };
    const { clock, cascade } = setUp({ points: [certified(0.1)], serving });
    for (let i = 0; i < 20; i++) {
      const answer = cascade.infer(ask("a", new Array<number[]>(8).fill(EASY_BUT_WRONG)));
      await clock.advance(100);
      await answer;
    }
    assert.equal(alarms.length, 1);
    assert.match(alarms[0]?.text ?? "", /disagrees with its last level more often than the certified 10.0 %/);
    assert.equal(cascade.driftEvidence.bound, 0.1);
    const answer = cascade.infer(ask("b", [EASY_BUT_WRONG]));
    await clock.advance(100);
    assert.deepEqual(integers((await answer).outputs[1]), [2]);
    assert.deepEqual((await answer).parameters.get("cascade_operating_point"), {
      kind: "string",
      value: "last-level-only",
    });
    const reloaded = setUp({ points: [certified(0.1)] }).cascade;
    reloaded.succeed(cascade);
    assert.deepEqual(reloaded.driftAlarm, alarms[0]);
    const changed = { ...certificate("sha256:new"), disagreementBound: 0.1 };
    const recalibrated = setUp({ points: [{ ...certified(0.1), certificate: changed }] }).cascade;
    recalibrated.succeed(reloaded);
    assert.equal(recalibrated.driftAlarm, null);
  });

  it("tells an alarm of requests still in hand to what took its place, and to what took that place", async () => {
    const { clock, cascade } = setUp({ points: [certified(0.1)], serving: { shadowShare: 1 } });
    const inHand = Array.from({ length: 20 }, () => {
      return cascade.infer(ask("a", new Array<number[]>(8).fill(EASY_BUT_WRONG)));
    });
    const second = setUp({ points: [certified(0.1)] }).cascade;
    const third = setUp({ points: [certified(0.1)] }).cascade;
    second.succeed(cascade);
    third.succeed(second);
    assert.equal(third.driftAlarm, null);
    await clock.advance(1_000);
    await Promise.all(inHand);
    assert.notEqual(cascade.driftAlarm, null);
    assert.deepEqual([second.driftAlarm, third.driftAlarm], [cascade.driftAlarm, cascade.driftAlarm]);
  });

  it("ends an alarm with levels that are wired otherwise or were calibrated anew, certified or not", () => {
    const points = [{ ...certified(0.1), certificate: null }];
    const { cascade } = setUp({ points });
    const alarm: DriftAlarm = { detector: "paths", text: "moved", atEpochMs: 1 };
    const state = { ...cascade.driftState, alarm };
    const alarmAt = (changes: SetUp) => {
      const other = setUp({ points, ...changes }).cascade;
      other.resumeDrift(state);
      return other.driftAlarm;
    };
    const cost = { value: 1, unit: "s", source: "measured" };
    assert.equal(alarmAt({ levels: [level("xs", { cost }), level("m"), level("l")] }), alarm);
    assert.equal(alarmAt({ levels: [level("xs", { version: "2" }), level("m"), level("l")] }), null);
    assert.equal(
      alarmAt({ calibration: { levelHashes: ["a", "b", "c"], provider: "", createdAt: "", command: "" } }),
      null,
    );
  });

  it("watches a point that does not use the first level", async () => {
    const promise = { ...certificate("sha256:p"), disagreementBound: 0.1 };
    const own = { ...point("AP", [gate(NEVER), gate(0.8)]), certificate: promise };
    const { clock, cascade, xs } = setUp({ points: [own], serving: { shadowShare: 1 } });
    for (let i = 0; i < 20; i++) {
      const answer = cascade.infer(ask("a", new Array<number[]>(8).fill([0.5, 0.95, 0.9])));
      await clock.advance(100);
      await answer;
    }
    assert.equal(xs.batches.length, 0);
    assert.equal(cascade.driftAlarm?.detector, "disagreement");
  });
});
