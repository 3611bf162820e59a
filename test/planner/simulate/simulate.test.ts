import assert from "node:assert/strict";
import test from "node:test";
import { simulate } from "../../../planner/simulate/simulate.ts";
import type { SimulatedWorkload } from "../../../planner/simulate/simulation.ts";
import { lastLevelOnly, waysOfConfidences } from "../../../planner/simulate/ways.ts";
import { gate } from "../../support/cascades.ts";
import { exponential, flat, fleet, level, policy, stage, workload } from "./fleets.ts";

const CASCADE = fleet({
  levels: [
    level("s", [stage("s", flat(4, 8))], policy(8)),
    level("m", [stage("m0", exponential(3)), stage("m1", 3)]),
    level("l", [stage("l", exponential(20))]),
  ],
  replicas: [
    [0, 0, 0],
    [1, 0, 1],
    [1, 1, 2],
    [2, 0, 2],
    [2, 0, 3],
  ],
  watts: { bare: 1, idle: 2, active: 9, source: "test" },
  transferMs: 0.1,
});
const PATHS = [
  [0.6, 0.3, 0.1],
  [0, 0.5, 0.5],
  [0, 0, 1],
];
const LOAD: SimulatedWorkload = workload(120, {
  routing: { kind: "paths", paths: PATHS },
  shadowShare: 0.05,
  sloMs: 60,
});

test("same seed, same bytes; another seed, other figures", () => {
  const play = (seed: number) => JSON.stringify(simulate(CASCADE, LOAD, { requests: 5_000, seed }));
  assert.equal(play(7), play(7));
  assert.notEqual(play(7), play(8));
});

test("conservation: every request is answered, refused or under way, also where more comes than the fleet takes", () => {
  for (const [ratePerSecond, mostQueued] of [
    [100, Number.POSITIVE_INFINITY],
    [900, Number.POSITIVE_INFINITY],
    [900, 20],
  ] as const) {
    const { requests } = simulate(
      CASCADE,
      { ...LOAD, ratePerSecond, rowsPerRequest: 3 },
      { requests: 4_000, mostQueued },
    );
    assert.equal(requests.answered + requests.refused + requests.underWay, requests.offered, `${ratePerSecond}/s`);
    assert.equal(requests.refused > 0, mostQueued === 20);
    assert.ok(requests.underWay > 0);
  }
});

test("refused requests count against goodput, and full queues bound the wait", () => {
  const one = fleet({ levels: [level("m", [stage("m", 10)])], replicas: [[0, 0, 0]] });
  const result = simulate(one, workload(200), { requests: 20_000, mostQueued: 3 });
  assert.ok(result.latencyMs.max <= 40, `3 wait, 1 runs: ${result.latencyMs.max}`);
  assert.ok(Math.abs(result.goodput - 0.5) < 0.01, `half of them: ${result.goodput}`);
});

test("rows of a batch that go on together run together at the next level", () => {
  // One request at a time brings 6 rows, all of which go on: enqueued one by one they would run as 1 + 5.
  const two = fleet({
    levels: [level("s", [stage("s", flat(1, 8))], policy(8)), level("l", [stage("l", flat(1, 8))], policy(8))],
    replicas: [
      [0, 0, 0],
      [1, 0, 1],
    ],
  });
  const routing = { kind: "recorded", ways: Uint32Array.of(0b11), order: "sequence" } as const;
  const batches: number[] = [];
  const single = workload(1, { routing, arrivals: { process: "trace", timesMs: [0, 0, 0, 0, 0, 0, 1000] } });
  simulate(two, single, { requests: 7, warmupShare: 0, observer: ({ rows }) => batches.push(rows.length) });
  assert.deepEqual(batches, [6, 6, 1, 1]);
});

test("a request is answered with its last row", () => {
  const routing = { kind: "recorded", ways: Uint32Array.of(0b01, 0b11), order: "sequence" } as const;
  const two = fleet({
    levels: [level("s", [stage("s", flat(5, 8))], policy(8)), level("l", [stage("l", 20)])],
    replicas: [
      [0, 0, 0],
      [1, 0, 1],
    ],
  });
  const result = simulate(two, workload(1, { routing, rowsPerRequest: 2 }), { requests: 200 });
  assert.equal(result.latencyMs.p50, 25);
  assert.deepEqual(
    result.levels.map((one) => one.answeredShare),
    [0.5, 0.5],
  );
});

test("paths: levels see their reach, shadows only add to the last level and do not hold up requests", () => {
  const { levels, shadows } = simulate(CASCADE, LOAD, { requests: 60_000 });
  const reach = [1, 0.3, 0.1 + 0.3 * 0.5];
  const rows = levels.map((one) => one.rowsPerSecond / 120);
  assert.ok(Math.abs((rows[1] ?? 0) - (reach[1] ?? 0)) < 0.01, `${rows}`);
  const answered = levels.map((one) => one.answeredShare);
  assert.ok(Math.abs((answered[2] ?? 0) - (reach[2] ?? 0)) < 0.01, `${answered}`);
  const shadowShare = shadows.rows / 60_000;
  assert.ok(Math.abs(shadowShare - 0.05 * (1 - (reach[2] ?? 0))) < 0.005, `shadows ${shadowShare}`);
  assert.ok(Math.abs((rows[2] ?? 0) - (reach[2] ?? 0) - shadowShare) < 0.01, `${rows}`);
});

test("the last level alone, on the same arrivals", () => {
  const cascade = simulate(CASCADE, { ...LOAD, ratePerSecond: 60 }, { requests: 20_000 });
  const alone = simulate(CASCADE, { ...LOAD, ratePerSecond: 60, routing: lastLevelOnly(3) }, { requests: 20_000 });
  assert.equal(alone.measuredMs, cascade.measuredMs);
  assert.deepEqual(
    alone.levels.map((one) => one.answeredShare),
    [0, 0, 1],
  );
  assert.ok((alone.energy?.joulesPerRequest ?? 0) > (cascade.energy?.joulesPerRequest ?? 0));
});

test("recorded rows that belong together differ from independent draws with the same reach", () => {
  // Half the rows need both further levels, half need none: paths would let some stop in between.
  const confidences = [Float64Array.of(0.9, 0.1), Float64Array.of(0.9, 0.1)];
  const ways = waysOfConfidences(confidences, 2, [gate(0.5), gate(0.5)]);
  assert.deepEqual([...ways], [0b001, 0b111]);
  const result = simulate(
    CASCADE,
    { ...LOAD, routing: { kind: "recorded", ways, order: "random" } },
    { requests: 5_000 },
  );
  assert.equal(result.levels[1]?.answeredShare, 0);
});

test("overhead is added to every latency and to nothing else", () => {
  const plain = simulate(CASCADE, LOAD, { requests: 2_000 });
  const slower = simulate(CASCADE, LOAD, { requests: 2_000, overheadMs: 5 });
  assert.ok(Math.abs(slower.latencyMs.mean - plain.latencyMs.mean - 5) < 1e-9);
  assert.equal(slower.throughput, plain.throughput);
});

test("fleet and workload that do not fit each other are refused with the reason", () => {
  const play = (changes: Partial<SimulatedWorkload>) => () =>
    simulate(CASCADE, { ...LOAD, ...changes }, { requests: 10 });
  assert.throws(play({ routing: { kind: "paths", paths: [[1]] } }), /paths are for 1 levels, but the fleet has 3/);
  const ways = Uint32Array.of(0b1000);
  assert.throws(
    play({ routing: { kind: "recorded", ways, order: "random" } }),
    /level that the fleet's 3 levels do not have/,
  );
  const missing = { ...CASCADE, replicas: CASCADE.replicas.filter(({ stage: index }) => index === 0) };
  assert.throws(() => simulate(missing, LOAD, { requests: 10 }), /stage 'm1' of level 1 has no replica/);
  const elsewhere = { ...CASCADE, devices: CASCADE.devices.map((device) => ({ ...device, class: "other" })) };
  assert.throws(() => simulate(elsewhere, LOAD, { requests: 10 }), /stage 's' has no service times on class 'other'/);
  assert.throws(play({ arrivals: { process: "trace", timesMs: [5, 3, 8] } }), /must ascend/);
});
