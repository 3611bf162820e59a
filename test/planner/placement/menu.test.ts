import assert from "node:assert/strict";
import { test } from "node:test";
import { withMenu } from "../../../planner/placement/menu.ts";
import type { LevelOption, PlacementProblem } from "../../../planner/placement/problem.ts";
import { deviceClass, devices, level, option, problem, stage } from "./sample-problems.ts";

test("a menu keeps the cheapest in the level's share of the latency, the fastest and the smallest", () => {
  const sample = wide(40);
  const [pruned] = withMenu(sample, 8).levels;
  const kept = (pruned?.options ?? []).map((each) => options(sample).indexOf(each));
  assert.equal(kept.length, 8);
  // Option i of `wide`: latency falls with i, work grows with i, memory a stage falls with i.
  assert.ok(kept.includes(39), "the fastest and smallest");
  assert.ok(kept.includes(38), "the second fastest");
  const inShare = options(sample).findIndex((each) => latency(each) <= 600);
  for (let i = 0; i < 4; i++) assert.ok(kept.includes(inShare + i), `cheap option ${inShare + i}`);
});

test("short menus stay whole; options that no device can run go; a level without any keeps them for the reason", () => {
  const sample = wide(5);
  assert.equal(withMenu(sample, 8).levels[0]?.options.length, 5);
  const elsewhere = option([stage("gone", 1, 1, { b: 1 })]);
  const mixed = { ...sample, levels: [level("m", [elsewhere, ...options(sample)])] };
  assert.deepEqual(withMenu(mixed, 8).levels[0]?.options, options(sample));
  const none = { ...sample, levels: [level("m", [elsewhere])] };
  assert.deepEqual(withMenu(none, 8).levels[0]?.options, [elsewhere]);
});

test("what another option beats in everything is left out first", () => {
  const sample = wide(3);
  const worse = Array.from({ length: 20 }, (_, i) => option([stage(`worse${i}`, 2 + i / 10, 50, { a: 1 })]));
  const kept =
    withMenu({ ...sample, levels: [level("m", [...worse, ...options(sample)])] }, 7).levels[0]?.options ?? [];
  for (const each of options(sample)) assert.ok(kept.includes(each));
});

/** Options on a curve: the faster a batch, the more work a row and the less memory. */
function wide(count: number): PlacementProblem {
  const made = Array.from({ length: count }, (_, i) => {
    const seconds = 1 - 0.5 * (i / count);
    return batched(seconds, 1 - 0.3 * (i / count), 40 - i);
  });
  return problem({
    levels: [level("m", made)],
    slo: { latencyMs: 600, percentile: 0.99 },
    classes: [deviceClass("a", 100)],
    devices: devices("a", 8),
  });
}

/** Latency is the time of the largest batch of 8, work the time of a row. */
function batched(latencySeconds: number, perRow: number, memory: number): LevelOption {
  const one = stage("m.0", 0, memory, { a: 1 });
  const service = { batchSizes: [1, 8], samplesMs: [[1000 / perRow / 10], [latencySeconds * 1000]] };
  const batch = { maxBatchSize: 8, preferredBatchSizes: [], maxQueueDelayMs: 0, preserveOrdering: false };
  return { stages: [{ ...one, service: new Map([["a", service]]) }], batch, meanRows: 1 };
}

function options(sample: PlacementProblem): readonly LevelOption[] {
  return sample.levels[0]?.options ?? [];
}

function latency(each: LevelOption): number {
  return each.stages[0]?.service.get("a")?.samplesMs[1]?.[0] ?? 0;
}
