import assert from "node:assert/strict";
import test from "node:test";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { meanServiceMs } from "../../../planner/fleet.ts";
import { arrivalTimesMs } from "../../../planner/simulate/arrivals.ts";
import { EventHeap } from "../../../planner/simulate/event-heap.ts";
import { histogram, LogHistogram, percentiles } from "../../../planner/simulate/measures.ts";
import { ServiceSampler } from "../../../planner/simulate/service-sampler.ts";
import {
  lastLevelOnly,
  reachOfRouting,
  waySource,
  waysOfConfidences,
  waysOfExits,
} from "../../../planner/simulate/ways.ts";
import { NEVER } from "../../../proto/files/cascade-file.ts";
import { gate } from "../../support/cascades.ts";

test("events come out by time, then by registration", () => {
  const random = seededRandom(1);
  const heap = new EventHeap();
  const waiting: { time: number; order: number }[] = [];
  const popped: number[] = [];
  const expected: number[] = [];
  for (let i = 0; i < 5_000; i++) {
    const time = Math.floor(random() * 40);
    assert.equal(heap.push(time, i), i);
    waiting.push({ time, order: i });
    if (random() < 0.45) {
      waiting.sort((a, b) => a.time - b.time || a.order - b.order);
      expected.push(waiting.shift()?.order ?? -1);
      popped.push(heap.pop());
    }
  }
  assert.deepEqual(popped, expected);
  assert.equal(heap.size, waiting.length);
});

test("arrivals: rate and variation of the gaps", () => {
  for (const [arrivals, cv] of [
    [{ process: "poisson" }, 1],
    [{ process: "gamma", cv: 0.4 }, 0.4],
    [{ process: "gamma", cv: 2.5 }, 2.5],
  ] as const) {
    const times = arrivalTimesMs(arrivals, 50, 200_000, seededRandom(2));
    const gaps = times.map((time, i) => time - (times[i - 1] ?? 0));
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
    assert.ok(Math.abs(mean / 20 - 1) < 0.02, `mean gap ${mean}`);
    assert.ok(Math.abs(Math.sqrt(variance) / mean / cv - 1) < 0.02, `cv ${Math.sqrt(variance) / mean}`);
  }
});

test("a trace keeps its gaps' proportions at any rate, and goes on from its start when it is short", () => {
  const arrivals = { process: "trace", timesMs: [100, 110, 140] } as const;
  const times = [...arrivalTimesMs(arrivals, 1000 / 40, 6, seededRandom(1))];
  // Two gaps of 10 and 30 become 20 and 60: a mean of 40 ms.
  assert.deepEqual(times, [40, 60, 120, 160, 180, 240]);
});

test("reach of paths whose first level is left out, and of recorded ways", () => {
  const paths = [
    [0, 0, 0],
    [0, 0.8, 0.2],
    [0, 0, 1],
  ];
  assert.deepEqual(reachOfRouting({ kind: "paths", paths }, 3), [0, 1, 0.2]);
  assert.deepEqual(
    reachOfRouting({ kind: "recorded", ways: Uint32Array.of(0b001, 0b101), order: "random" }, 3),
    [1, 0, 0.5],
  );
  assert.deepEqual(reachOfRouting(lastLevelOnly(3), 3), [0, 0, 1]);
});

test("service times: drawn from the samples, interpolated, their mean is the planner's", () => {
  const times = { batchSizes: [1, 4, 8], samplesMs: [[2, 1], [6, 4, 5], [9]] };
  const sampler = new ServiceSampler(times, 12, seededRandom(3));
  const seen = new Set(Array.from({ length: 100 }, () => sampler.draw(4)));
  assert.deepEqual([...seen].sort(), [4, 5, 6]);
  for (const rows of [1, 2, 4, 7, 8, 12]) {
    const draws = 60_000;
    let sum = 0;
    for (let i = 0; i < draws; i++) sum += sampler.draw(rows);
    const expected = meanServiceMs(times, rows);
    assert.ok(Math.abs(sum / draws / expected - 1) < 0.01, `${rows} rows: ${sum / draws} instead of ${expected}`);
  }
});

test("ways of recorded confidences take skips, hopeless rows and the entry level as the server does", () => {
  const gates = [gate(0.9, [0.4]), gate(0.8)];
  const confidences = [Float64Array.of(0.95, 0.6, 0.6, 0.1, Number.NaN), Float64Array.of(0, 0.85, 0.2, 0.9, 0.9)];
  const ways = waysOfConfidences(confidences, 5, gates);
  assert.deepEqual([...ways], [0b001, 0b011, 0b111, 0b101, 0b101]);
  const hopeless = [gate(0.9, [], { below: 0.2, action: "last" }), gate(0.8)];
  assert.deepEqual([...waysOfConfidences(confidences, 5, hopeless)], [0b001, 0b011, 0b111, 0b101, 0b101]);
  assert.deepEqual([...waysOfConfidences(confidences, 2, [gate(NEVER), gate(0.8)])], [0b110, 0b010]);
});

test("ways of recorded exits end there, and the levels before them are as frequent as in the paths", () => {
  const paths = [
    [0.5, 0.3, 0.2],
    [0, 0.4, 0.6],
    [0, 0, 1],
  ];
  const random = seededRandom(4);
  const exits = Array.from({ length: 60_000 }, () => {
    const draw = random();
    return draw < 0.5 ? 0 : draw < 0.62 ? 1 : 2;
  });
  const ways = waysOfExits(exits, paths, random);
  assert.ok(exits.every((exit, row) => 31 - Math.clz32(ways[row] ?? 0) === exit));
  const viaMiddle = ways.filter((way) => (way & 0b010) !== 0).length / ways.length;
  assert.ok(Math.abs(viaMiddle - 0.3) < 0.01, `${viaMiddle}`);
  const drawn = waySource({ kind: "paths", paths }, random);
  const direct = Array.from({ length: 60_000 }, drawn);
  assert.ok(Math.abs(direct.filter((way) => way === 0b101).length / 60_000 - 0.2) < 0.01);
  assert.ok(Math.abs(direct.filter((way) => way === 0b111).length / 60_000 - 0.18) < 0.01);
});

test("ways of paths that begin at a later level do not pass the ones before it", () => {
  const paths = [
    [0, 0, 0],
    [0, 0.5, 0.5],
    [0, 0, 1],
  ];
  const random = seededRandom(6);
  assert.deepEqual([...waysOfExits([1, 2], paths, random)], [0b010, 0b110]);
  const drawn = new Set(Array.from({ length: 50 }, waySource({ kind: "paths", paths }, random)));
  assert.deepEqual([...drawn].sort(), [0b010, 0b110]);
});

test("percentiles are exact, the sketch is within 1.6 %", () => {
  const random = seededRandom(5);
  const values = Float64Array.from({ length: 20_001 }, () => Math.exp(8 * random() - 3));
  const sorted = values.slice().sort();
  const shares = [0.001, 0.5, 0.95, 0.99, 1];
  const sketch = new LogHistogram();
  for (const value of values) sketch.add(value);
  const exact = shares.map((share) => sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] ?? 0);
  for (const [i, share] of shares.entries()) {
    const off = sketch.percentile(share) / (exact[i] ?? 1) - 1;
    assert.ok(Math.abs(off) <= 1 / 64, `${share}: ${off}`);
  }
  assert.deepEqual(percentiles(values, shares), exact);
  const zeros = new LogHistogram();
  for (const value of [0, 0, 0, 5]) zeros.add(value);
  assert.equal(zeros.percentile(0.5), 0);
  assert.equal(zeros.mean, 1.25);
});

test("histogram: every value in one bar, the last one open", () => {
  const bars = histogram(Float64Array.of(0, 1, 9.9, 10, 35), 3, 20);
  assert.deepEqual(
    bars.map(({ count }) => count),
    [3, 1, 1],
  );
  assert.deepEqual(bars.at(-1), { fromMs: 20, toMs: 35, count: 1 });
});
