import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { linearTicks, logTicks } from "../../../cli/report/ticks.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";

describe("linearTicks", () => {
  it("gives round numbers", () => {
    assert.deepEqual(linearTicks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
    assert.deepEqual(linearTicks(-3, 12, 3), [0, 5, 10]);
    assert.deepEqual(linearTicks(0.88, 0.935, 5), [0.88, 0.89, 0.9, 0.91, 0.92, 0.93]);
  });

  it("are ascending, in range, round and about as many as asked, whatever the range", () => {
    const random = seededRandom(7);
    for (let i = 0; i < 2_000; i++) {
      const low = (random() - 0.5) * 10 ** Math.floor(random() * 12 - 6);
      const high = low + (random() + 0.01) * 10 ** Math.floor(random() * 12 - 6);
      const count = 2 + Math.floor(random() * 9);
      const ticks = linearTicks(low, high, count);
      const where = `${low} ${high} ${count}: ${ticks}`;
      const slack = (high - low) * 1e-6;
      assert.ok(ticks.length <= 1.3 * count + 1 && ticks.length >= Math.floor(count / 3), where);
      assert.ok(
        ticks.every((tick) => tick >= low - slack && tick <= high + slack),
        where,
      );
      assert.ok(
        ticks.every((tick, k) => k === 0 || tick > (ticks[k - 1] ?? tick)),
        where,
      );
      if (ticks.length < 2) continue;
      const step = (ticks[1] ?? 0) - (ticks[0] ?? 0);
      assert.match(step.toExponential(2), /^(1\.00|2\.00|5\.00)e/, where);
    }
  });

  it("has one tick where there is no range", () => {
    assert.deepEqual(linearTicks(3, 3, 5), [3]);
    assert.deepEqual(linearTicks(3, Number.NaN, 5), [3]);
  });
});

describe("logTicks", () => {
  it("takes powers of ten over many decades and steps between them over few", () => {
    assert.deepEqual(logTicks(15, 1_500), [20, 50, 100, 200, 500, 1_000]);
    assert.deepEqual(logTicks(0.001, 100), [0.001, 0.01, 0.1, 1, 10, 100]);
    assert.ok(logTicks(1e-9, 1e12).length <= 9);
  });

  it("has ticks within a narrow range too", () => {
    const ticks = logTicks(210, 260);
    assert.ok(ticks.length >= 2 && ticks.every((tick) => tick >= 210 && tick <= 260), `${ticks}`);
  });
});
