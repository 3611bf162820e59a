import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NEVER, type OperatingPoint } from "../../../proto/files/cascade-file.ts";
import { findShift } from "../../../scheduler/cascade/distribution-shift.ts";
import { type DriftState, DriftWatch } from "../../../scheduler/cascade/drift.ts";
import { eValue, NO_EVIDENCE, observeDisagreement } from "../../../scheduler/cascade/drift-evidence.ts";
import { SeededChoice } from "../../../scheduler/cascade/seeded-choice.ts";
import { certificate, expectation, gate, point } from "../../support/cascades.ts";

const BOUND = 0.012;

function certified(name = "AP", hash = "sha256:p"): OperatingPoint {
  const promise = { ...certificate(hash), disagreementBound: BOUND };
  return { ...point(name, [gate(0.9), gate(0.8)]), expected: expectation(), certificate: promise };
}

function watchOf(options: { point?: OperatingPoint; policy?: string; state?: DriftState | undefined } = {}) {
  const watched = options.point ?? certified();
  const { policy = "p", state } = options;
  const watch = new DriftWatch({ levels: 3, policy, point: watched, rowsToFalseAlarm: 100_000 });
  if (state !== undefined) watch.resume(state);
  return watch;
}

/** Rows until the evidence reaches `threshold`, at most `most`. */
function rowsToAlarm(rate: number, threshold: number, seed: number, most: number): number {
  const draws = new SeededChoice(rate, seed);
  let evidence = NO_EVIDENCE;
  for (let row = 1; row <= most; row++) {
    evidence = observeDisagreement(evidence, draws.next(), BOUND);
    if (eValue(evidence) >= threshold) return row;
  }
  return most;
}

describe("evidence of disagreement", () => {
  it("does not grow by more than 1 a row on average while the bound holds", () => {
    let evidence = NO_EVIDENCE;
    for (const disagrees of [false, true, false, false, true]) {
      evidence = observeDisagreement(evidence, disagrees, BOUND);
      const up = eValue(observeDisagreement(evidence, true, BOUND));
      const down = eValue(observeDisagreement(evidence, false, BOUND));
      assert.ok(Math.abs(BOUND * up + (1 - BOUND) * down - (eValue(evidence) + 1)) < 1e-9);
    }
    assert.equal(evidence.disagreements, 2);
    assert.equal(evidence.rows, 5);
  });

  it("shows a change within about 1,000 rows, however calm it was before", () => {
    const delays = Array.from({ length: 10 }, (_, seed) => {
      const watch = watchOf();
      const calm = new SeededChoice(0.009, seed + 1);
      for (let row = 0; row < 100_000; row++) assert.equal(watch.observeShadow(calm.next(), 0), undefined);
      const changed = new SeededChoice(0.03, seed + 1_000);
      let delay = 0;
      while (watch.alarm === null && delay < 20_000) {
        watch.observeShadow(changed.next(), 5);
        delay++;
      }
      return delay;
    }).sort((a, b) => a - b);
    const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length;
    assert.ok(mean < 1_500, `${mean} rows`);
    assert.ok((delays.at(-1) ?? 0) < 3_500, `${delays}`);
  });

  it("takes at least the stated number of rows to a false alarm on average, at the bound itself", () => {
    const threshold = 1_000;
    const times = Array.from({ length: 150 }, (_, seed) => rowsToAlarm(BOUND, threshold, seed + 1, 20_000));
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
    assert.ok(mean >= threshold, `${mean} rows`);
    assert.ok(rowsToAlarm(3 * BOUND, threshold, 1, 20_000) < 3_000, "the same test can fail");
  });

  it("is not tested where nothing is certified", () => {
    const watch = watchOf({ point: point("raw", [gate(0.9), gate(0.8)]) });
    for (let row = 0; row < 1_000; row++) watch.observeShadow(true, 0);
    assert.equal(watch.alarm, null);
  });
});

describe("shares of a window", () => {
  const test = { falseAlarmRate: 1e-3, tolerance: 0.02, cells: 3 };

  it("alarms on a clear shift only, and names the cell that moved most", () => {
    assert.equal(findShift([540, 420, 40], [0.54, 0.42, 0.04], 10_000, test), undefined);
    assert.deepEqual(findShift([300, 650, 50], [0.54, 0.42, 0.04], 10_000, test), {
      cell: 0,
      observed: 0.3,
      expected: 0.54,
    });
    assert.equal(findShift([3, 7, 0], [0.54, 0.42, 0.04], 10_000, test), undefined, "ten rows prove nothing");
    assert.equal(findShift([0, 0, 0], [0.54, 0.42, 0.04], 10_000, test), undefined);
  });

  it("keeps the stated rate of false alarms without any tolerance", () => {
    const draws = new SeededChoice(0.3, 7);
    const strict = { falseAlarmRate: 0.05, tolerance: 0, cells: 2 };
    let alarms = 0;
    for (let window = 0; window < 1_000; window++) {
      let first = 0;
      for (let row = 0; row < 300; row++) if (draws.next()) first++;
      if (findShift([first, 300 - first], [0.3, 0.7], 1e9, strict) !== undefined) alarms++;
    }
    assert.ok(alarms <= 50 + 3 * Math.sqrt(1_000 * 0.05 * 0.95), `${alarms} of 1,000 windows`);
  });
});

/** Sends `rows` rows through level 0 of which a share is answered there, with the confidence bin 19, or else 5. */
function traffic(watch: DriftWatch, rows: number, answered: number, seed: number, bins: readonly [number, number]) {
  const draws = new SeededChoice(answered, seed);
  for (let row = 0; row < rows; row++) {
    if (draws.next()) watch.observeRow(0, 0, bins[0]);
    else watch.observeRow(0, row % 12 === 0 ? 2 : 1, bins[1]);
    const alarm = watch.endWindow(row);
    if (alarm !== undefined) return alarm;
  }
  return undefined;
}

describe("free detector", () => {
  it("stays calm while paths are as expected, and alarms once they are not", () => {
    const watch = watchOf();
    assert.equal(traffic(watch, 100_000, 0.54, 1, [19, 5]), undefined);
    const alarm = traffic(watch, 4_000, 0.3, 2, [19, 5]);
    assert.equal(alarm?.detector, "paths");
    assert.match(alarm?.text ?? "", /level 0 .* expected/);
    assert.equal(traffic(watch, 10_000, 0.3, 3, [19, 5]), undefined, "it alarms once");
  });

  it("ends its windows where the first levels are not used", () => {
    const paths = [
      [0, 0, 0],
      [0, 0.5, 0.5],
      [0, 0, 1],
    ];
    const expected = { ...expectation(), reach: [0, 1, 0.5], paths };
    const watch = watchOf({ point: { ...certified(), gates: [gate(NEVER), gate(0.8)], expected } });
    for (let row = 0; row < 4_000; row++) watch.observeRow(1, row % 10 === 0 ? 1 : 2, 5);
    assert.equal(watch.endWindow(1)?.detector, "paths");
  });

  it("knows the confidences of the certify split from the start, where the file tells them", () => {
    const confidences = [0, 1, 2].map(() => new Array<number>(20).fill(0));
    for (const row of confidences.slice(0, 2)) row.splice(19, 1, 0.54);
    for (const row of confidences.slice(0, 2)) row.splice(5, 1, 0.46);
    const known = { ...certified(), expected: { ...expectation(), confidences } };
    const calm = watchOf({ point: known });
    assert.equal(traffic(calm, 20_000, 0.54, 2, [19, 5]), undefined);
    const moved = watchOf({ point: known });
    assert.equal(traffic(moved, 2_000, 0.54, 2, [18, 5])?.detector, "confidence");
  });

  it("never alarms for a point without a certificate", () => {
    const watch = watchOf({ point: { ...certified(), certificate: null } });
    assert.equal(traffic(watch, 20_000, 0.54, 1, [19, 5]), undefined);
    assert.equal(traffic(watch, 20_000, 0.1, 2, [3, 2]), undefined);
  });

  it("learns the confidences of the first windows, and alarms when they move within their gates", () => {
    const watch = watchOf();
    assert.equal(traffic(watch, 20_000, 0.54, 1, [19, 5]), undefined);
    assert.equal(traffic(watch, 4_000, 0.54, 2, [18, 5])?.detector, "confidence");
  });
});

describe("state", () => {
  const throughJson = (watch: DriftWatch): DriftState => JSON.parse(JSON.stringify(watch.state)) as DriftState;

  it("survives a reload of the same policy", () => {
    const whole = watchOf();
    let parts = watchOf();
    const draws = new SeededChoice(0.03, 3);
    let delay = 0;
    while (whole.alarm === null && delay < 20_000) {
      const disagrees = draws.next();
      whole.observeShadow(disagrees, delay);
      parts.observeShadow(disagrees, delay);
      if (delay % 100 === 0) parts = watchOf({ state: throughJson(parts) });
      delay++;
    }
    assert.deepEqual(parts.state, whole.state);
    assert.equal(watchOf({ state: throughJson(parts) }).alarm?.detector, "disagreement");
  });

  it("starts anew with another policy, and keeps only the alarm with another point", () => {
    const watch = watchOf();
    while (watch.alarm === null) watch.observeShadow(true, 9);
    const state = throughJson(watch);
    assert.equal(watchOf({ state, policy: "other" }).alarm, null);
    const other = watchOf({ state, point: certified("EO") });
    assert.equal(other.alarm?.atEpochMs, 9);
    assert.equal(other.eValue, 0);
    watch.watch(certified("EO"));
    assert.equal(watch.eValue, 0);
    assert.notEqual(watch.alarm, null);
  });

  it("adopts an alarm that comes late, of the same policy only, and keeps its own", () => {
    const late = { detector: "paths", text: "late", atEpochMs: 7 } as const;
    const watch = watchOf();
    watch.adopt(late, "other");
    assert.equal(watch.state.alarm, null);
    watch.adopt(late, "p");
    watch.adopt({ ...late, atEpochMs: 8 }, "p");
    assert.deepEqual(watch.alarm, late);
  });
});
