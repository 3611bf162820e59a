import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseDevices, isSpread } from "../../../planner/placement/expand.ts";
import { type Bin, type Layout, unitsOf } from "../../../planner/placement/layout.ts";
import { placementModel } from "../../../planner/placement/model.ts";
import type { PlacementProblem } from "../../../planner/placement/problem.ts";
import { devices, level, option, problem, stage } from "./sample-problems.ts";

test("every node holds a whole copy of a pipeline", () => {
  // Node of device i: two nodes of four devices, ids interleaved on purpose.
  const sample = pipeline(8, (i) => `n${i % 2}`);
  const { layout, held, nodeOf } = expand(sample, [2, 2, 2]);
  assert.equal(new Set(held.map(({ device }) => device)).size, 6, "one device each");
  const byStage = layout.bins.map((_, b) => held.filter(({ bin }) => bin === b).map(({ device }) => nodeOf(device)));
  for (const nodes of byStage) assert.deepEqual([...nodes].sort(), ["n0", "n1"]);
  assert.deepEqual(expand(sample, [2, 2, 2]).held, held, "deterministic");
});

test("copies that must survive a failure go to other groups, although that splits a node's pipeline", () => {
  const sample = pipeline(6, (i) => `n${Math.floor(i / 3)}`, 2);
  const { layout, held } = expand(sample, [2, 2, 2]);
  assert.ok(isSpread(sample, layout, held));
  const oneNode = pipeline(6, () => "n0", 2);
  const crowded = expand(oneNode, [2, 2, 2]);
  assert.ok(!isSpread(oneNode, crowded.layout, crowded.held));
});

function pipeline(count: number, node: (i: number) => string, copies = 1): PlacementProblem {
  const stages = [0, 1, 2].map((s) => stage(`m.${s}`, 1, 1, { a: 1 }));
  return problem({ levels: [{ ...level("m", [option(stages)]), copies }], devices: devices("a", count, node) });
}

/** `counts[s]` devices with stage s alone. */
function expand(sample: PlacementProblem, counts: readonly number[]) {
  const model = placementModel(sample, Number.POSITIVE_INFINITY);
  const bins = counts.map((count, s): Bin => ({ classIndex: 0, units: [s], count }));
  const layout: Layout = { choice: [0], units: unitsOf(model, [0]), bins };
  const nodeOf = (device: number): string => sample.devices[device]?.node ?? "";
  return { layout, held: chooseDevices(sample, model, layout, null), nodeOf };
}
