import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InferenceError } from "../../../proto/errors.ts";
import { Cancellation } from "../../../scheduler/cancellation.ts";
import { lastLevelOnlyPoint } from "../../../scheduler/cascade/policy.ts";
import type { Model } from "../../../scheduler/model.ts";
import { expectation, gate, level, point } from "../../support/cascades.ts";
import { floats, integers } from "../../support/tensors.ts";
import { ask, EASY, HARD, MEDIUM, parameters, setUp } from "./three-levels.ts";

const GONE = new InferenceError("UNAVAILABLE", "the level is gone");
const DEGRADED = { kind: "bool", value: true };

describe("failure of a level", () => {
  it("leaves rows the best answer they have, marked and counted, where it may degrade", async () => {
    const { clock, cascade, l } = setUp({ serving: { onLevelFailure: "degrade" } });
    l.failure = GONE;
    const answer = cascade.infer(ask("a", [HARD, EASY, MEDIUM]));
    await clock.advance(100);
    const { outputs, parameters: said } = await answer;
    assert.deepEqual(integers(outputs[1]), [1, 0, 1]);
    assert.deepEqual(
      floats(outputs[0]).map((value) => value.toFixed(2)),
      ["0.30", "0.70", "0.95", "0.05", "0.15", "0.85"],
    );
    assert.deepEqual(
      floats(outputs[2]).map((value) => value.toFixed(2)),
      ["0.70", "0.95", "0.85"],
    );
    assert.deepEqual(said.get("cascade_degraded"), DEGRADED);
    assert.deepEqual(said.get("cascade_rows_per_level"), { kind: "string", value: "1,2,0" });
    assert.equal(cascade.cascadeStatistics.degradedRows, 1);
    assert.equal(cascade.cascadeStatistics.escalations.level_failure, 1);
  });

  it("degrades only the part of a large request that failed", async () => {
    const { clock, cascade, m } = setUp({
      serving: { onLevelFailure: "degrade" },
      levelSignature: { maxBatchSize: 1 },
    });
    const answer = cascade.infer(ask("a", [MEDIUM, MEDIUM, MEDIUM]));
    await clock.advance(25);
    m.failure = GONE; // the first row was answered at 20 ms
    await clock.advance(10);
    m.failure = undefined;
    await clock.advance(100);
    assert.deepEqual(integers((await answer).outputs[1]), [1, 0, 1]);
  });

  it("fails rows without any answer, and never degrades what the client gave up", async () => {
    const { clock, cascade, xs, m } = setUp({ serving: { onLevelFailure: "degrade" } });
    xs.failure = GONE;
    const failed = assert.rejects(cascade.infer(ask("a", [EASY])), { code: "UNAVAILABLE" });
    await clock.advance(100);
    await failed;
    xs.failure = undefined;
    const cancellation = new Cancellation();
    const cancelled = assert.rejects(cascade.infer(ask("b", [MEDIUM, EASY]), cancellation), { code: "CANCELLED" });
    await clock.advance(15);
    cancellation.cancel(new InferenceError("CANCELLED", ""));
    await clock.advance(100);
    await cancelled;
    assert.equal(m.batches.length, 1);
    assert.deepEqual(cascade.cascadeStatistics.cancelledRows, [0, 1, 0]);
    assert.equal(cascade.cascadeStatistics.degradedRows, 0);
  });

  it("asks no further level once a part of the request has failed it", async () => {
    const { clock, cascade, xs, m } = setUp({ levelSignature: { maxBatchSize: 1 } });
    xs.failure = GONE;
    const failed = assert.rejects(cascade.infer(ask("a", [MEDIUM, MEDIUM])), { code: "UNAVAILABLE" });
    await clock.advance(10);
    xs.failure = undefined;
    await clock.advance(100);
    await failed;
    assert.equal(m.batches.length, 0);
  });

  it("calls back what waits at other levels, and answers only once they let go of the request", async () => {
    const { clock, cascade, models, m, l } = setUp({ points: [point("AP", [gate(0.9, [0.55]), gate(0.8)])] });
    const lastModel = models[2] as Model; // of three
    const infer = lastModel.infer.bind(lastModel);
    lastModel.infer = async (request, cancellation) => {
      try {
        return await infer(request, cancellation);
      } catch (error) {
        await new Promise<void>((resolve) => {
          clock.at(clock.now() + 3, resolve);
        });
        throw error;
      }
    };
    const fromLast = parameters({ cascade_min_level: { kind: "int64", value: 2n } });
    const keepBusy = () => cascade.infer(ask("busy", new Array<number[]>(8).fill(HARD), { parameters: fromLast }));
    m.failure = GONE;
    let failedMs: number | undefined;
    const failed = cascade.infer(ask("a", [MEDIUM, [0.5, 0.5, 0.9]])).catch((error: unknown) => {
      failedMs = clock.now();
      assert.equal(error, GONE);
    });
    await clock.advance(4);
    const busy = [keepBusy()];
    await clock.advance(4);
    busy.push(keepBusy());
    await clock.advance(100);
    await Promise.all([...busy, failed]);
    assert.equal(failedMs, 23, "two batches of 10 ms, and the 3 ms of the level that is called back");
    assert.deepEqual(l.batchIds, ["busy", "busy"]);
    assert.equal(lastModel.statistics.failures.CANCELED, 1);
    assert.equal(cascade.cascadeStatistics.escalations.level_failure, 1);
  });
});

describe("deadlines", () => {
  /** Every level has been measured at 10 ms. */
  async function measured(onLevelFailure: "fail" | "degrade", deadlineEscalation = true) {
    const set = setUp({ serving: { onLevelFailure, deadlineEscalation } });
    const warm = set.cascade.infer(ask("warm", [HARD]));
    await set.clock.advance(10_000);
    await warm;
    return set;
  }

  it("sends rows straight to the last level when the way through the next takes too long", async () => {
    const { clock, cascade, m } = await measured("fail");
    const answer = cascade.infer(ask("a", [HARD, EASY]), new Cancellation(clock.now() + 25));
    await clock.advance(100);
    assert.deepEqual(integers((await answer).outputs[1]), [2, 0]);
    assert.deepEqual(m.batchIds, ["warm"]);
    assert.equal(cascade.cascadeStatistics.escalations.deadline, 1);
  });

  it("takes the usual way with time enough, with no deadline, or where it is off", async () => {
    for (const [on, leftMs] of [
      [true, 30],
      [true, Number.POSITIVE_INFINITY],
      [false, 25],
    ] as const) {
      const { clock, cascade, m } = await measured("fail", on);
      const answer = cascade.infer(ask("a", [HARD]), new Cancellation(clock.now() + leftMs));
      await clock.advance(100);
      await answer;
      assert.deepEqual(m.batchIds, ["warm", "a"]);
    }
  });

  it("fails, or degrades, when no level left can answer in time", async () => {
    const failing = await measured("fail");
    const failed = assert.rejects(failing.cascade.infer(ask("a", [HARD]), new Cancellation(failing.clock.now() + 15)), {
      code: "DEADLINE_EXCEEDED",
      message: /no further level of cascade 'c' can answer before the deadline/,
    });
    await failing.clock.advance(100);
    await failed;
    const { clock, cascade, l } = await measured("degrade");
    const answer = cascade.infer(ask("a", [HARD, EASY]), new Cancellation(clock.now() + 15));
    await clock.advance(100);
    assert.deepEqual(integers((await answer).outputs[1]), [0, 0]);
    assert.deepEqual((await answer).parameters.get("cascade_degraded"), DEGRADED);
    assert.equal(cascade.cascadeStatistics.degradedRows, 1);
    assert.equal(l.batches.length, 1);
  });
});

describe("operating point", () => {
  it("is switched at run time, and seen in every response", async () => {
    const points = [point("AP", [gate(0.9), gate(0.8)]), point("EO", [gate(0.5), gate(0.5)])];
    const { clock, cascade } = setUp({ points, selectable: ["AP", "EO"] });
    cascade.setOperatingPoint("EO");
    assert.equal(cascade.operatingPoint, "EO");
    const answer = cascade.infer(ask("a", [MEDIUM]));
    await clock.advance(100);
    assert.deepEqual((await answer).parameters.get("cascade_operating_point"), { kind: "string", value: "EO" });
    assert.deepEqual(integers((await answer).outputs[1]), [0]);
    assert.throws(() => cascade.setOperatingPoint("none"), { code: "INVALID_ARGUMENT" });
  });

  it("is cheaper while rows wait long for the last level", async () => {
    const cheap = { ...point("cheap", [gate(0), gate(0)]), expected: expectation() };
    const points = [point("AP", [gate(0.9), gate(0.8)]), cheap];
    const { clock, cascade } = setUp({
      points,
      levelSignature: { maxBatchSize: 1 },
      serving: { gears: { by: "queueDelayMs", gears: [{ from: 100, point: "cheap" }] } },
    });
    const burst = cascade.infer(ask("a", new Array<number[]>(16).fill(HARD)));
    await clock.advance(400);
    await burst;
    const slow = Array.from({ length: 2 }, (_, i) => cascade.infer(ask(`b${i}`, new Array<number[]>(16).fill(HARD))));
    await clock.advance(20_000);
    await Promise.all(slow);
    assert.equal(cascade.gear, 0);
    const last = parameters({ cascade_min_level: { kind: "int64", value: 2n } });
    const queue = cascade.infer(ask("q", new Array<number[]>(16).fill(HARD), { parameters: last }));
    await clock.advance(115);
    const answer = cascade.infer(ask("c", [HARD]));
    await clock.advance(400);
    assert.deepEqual((await answer).parameters.get("cascade_operating_point"), { kind: "string", value: "cheap" });
    assert.equal(cascade.gear, 1);
    await queue;
  });

  it("does not run levels whose answers cannot matter", async () => {
    const { clock, cascade, xs, m, l } = setUp({ points: [lastLevelOnlyPoint(3)] });
    const answer = cascade.infer(ask("a", [EASY, HARD]));
    await clock.advance(100);
    assert.deepEqual(integers((await answer).outputs[1]), [2, 2]);
    assert.deepEqual([xs.batches.length, m.batches.length, l.batches.length], [0, 0, 1]);
  });
});

describe("counters", () => {
  it("tells why rows escalate, how sure levels are and what they cost", async () => {
    const gates = [gate(0.9, [0.6], { below: 0.53, action: "last" }), gate(0.8)];
    const cost = (value: number) => ({ value, unit: "cpuSeconds", source: "measured" });
    const { clock, cascade } = setUp({
      points: [point("AP", gates)],
      levels: [level("xs", { cost: cost(0.5) }), level("m"), level("l", { cost: cost(2) })],
    });
    // max_prob of two classes is at least 0.5
    const rows = [EASY, [0.7, 0.85, 0.5], [0.55, 0.5, 0.9], [0.51, 0.5, 0.9], [Number.NaN, 0.9, 0.9]];
    const answer = cascade.infer(ask("a", rows));
    await clock.advance(100);
    await answer;
    const { escalations, confidenceHistograms, costByLevel } = cascade.cascadeStatistics;
    assert.deepEqual(escalations, { confidence: 1, skip: 1, hopeless: 1, nonfinite: 1, deadline: 0, level_failure: 0 });
    assert.equal(
      confidenceHistograms[0]?.reduce((sum, count) => sum + count),
      4,
      "NaN is in no bin",
    );
    assert.deepEqual(costByLevel, [2.5, null, 6]);
  });
});

describe("a probe", () => {
  it("is answered like a request and counted nowhere, at no level", async () => {
    const { clock, cascade, models } = setUp({ serving: { shadowShare: 1 } });
    const before = JSON.stringify(cascade.driftState);
    const answer = cascade.infer({ ...ask("golden", [EASY, HARD]), isProbe: true });
    await clock.advance(100);
    assert.deepEqual(integers((await answer).outputs[1]), [0, 2]);
    for (const { statistics } of [cascade, ...models]) {
      assert.deepEqual([statistics.inferenceCount, statistics.executionCount, statistics.success.count], [0, 0, 0]);
    }
    const { rowsByLevel, escalations, shadowRows } = cascade.cascadeStatistics;
    assert.deepEqual([rowsByLevel, escalations.confidence, shadowRows], [[0, 0, 0], 0, 0]);
    assert.equal(JSON.stringify(cascade.driftState), before);
  });
});

describe("many rows and levels", () => {
  it("answers a batch of 32 at a gate that a twentieth passes, rows in order, as each row alone", async () => {
    const { clock, cascade, l } = setUp({ signature: { maxBatchSize: 32 } });
    const kinds = [EASY, MEDIUM, EASY, EASY];
    const rows = Array.from({ length: 32 }, (_, i) => (i === 17 ? HARD : (kinds[i % 4] ?? EASY)));
    const whole = cascade.infer(ask("whole", rows));
    await clock.advance(500);
    const single = Promise.all(rows.map((row, i) => cascade.infer(ask(`${i}`, [row]))));
    await clock.advance(2_000);
    const { outputs } = await whole;
    const alone = await single;
    assert.deepEqual(
      floats(outputs[0]),
      alone.flatMap((response) => floats(response.outputs[0])),
    );
    assert.deepEqual(
      integers(outputs[1]),
      alone.flatMap((response) => integers(response.outputs[1])),
    );
    assert.deepEqual(
      l.batches.map((batch) => batch[0]?.inputs[0]?.shape[0]),
      [1, 1],
    );
  });
});
