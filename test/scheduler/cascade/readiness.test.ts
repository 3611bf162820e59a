import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NEVER } from "../../../proto/files/cascade-file.ts";
import { lastLevelOnlyPoint, route } from "../../../scheduler/cascade/policy.ts";
import { isCascadeReady, reachableLevels } from "../../../scheduler/cascade/readiness.ts";
import { gate } from "../../support/cascades.ts";

describe("levels that a row can reach", () => {
  it("skips those that no confidence leads to", () => {
    assert.deepEqual(reachableLevels([gate(0.9, [0.5]), gate(0.8)]), [0, 1, 2]);
    assert.deepEqual(reachableLevels([gate(0.9, [0.9]), gate(0.8)]), [0, 2]);
    assert.deepEqual(reachableLevels([gate(0.9, [0]), gate(0)]), [0, 1]);
    assert.deepEqual(reachableLevels([gate(0), gate(0.8)]), [0]);
    assert.deepEqual(reachableLevels([gate(NEVER, [0]), gate(0.8)]), [0, 1, 2]);
    assert.deepEqual(reachableLevels([gate(0.9, [0], { below: 0.2, action: "last" }), gate(0)]), [0, 1, 2]);
    assert.deepEqual(reachableLevels([gate(NEVER, [NEVER]), gate(0.8)]), [2]);
    assert.deepEqual(reachableLevels(lastLevelOnlyPoint(4).gates), [3]);
    assert.deepEqual(reachableLevels([]), [0]);
  });

  it("are those that route gives on a fine grid", () => {
    const cuts = [0, 0.2, 0.5, 0.9, 1];
    for (const accept of cuts) {
      for (const skip of cuts.filter((cut) => cut <= accept)) {
        for (const hopeless of [null, ...(["accept", "last"] as const).map((action) => ({ below: 0.5, action }))]) {
          const gates = [gate(accept, [skip], hopeless), gate(0)];
          const reached = new Set([0]);
          for (let q = 0; q <= 1.0001; q += 0.001) reached.add(route(Math.min(1, q), gates[0] ?? gate(0), 0, 2));
          assert.deepEqual(reachableLevels(gates), [...reached].sort(), JSON.stringify(gates));
        }
      }
    }
  });
});

it("a cascade is ready with all levels in reach; one that degrades needs where rows enter", () => {
  const gates = [gate(0.9, [0.9]), gate(0.8)];
  const without = (down: number) => (level: number) => level !== down;
  const ready = (onLevelFailure: "fail" | "degrade") =>
    [0, 1, 2].map((down) => isCascadeReady(gates, onLevelFailure, without(down)));
  assert.deepEqual(ready("fail"), [false, true, false]);
  assert.deepEqual(ready("degrade"), [false, true, true]);
});
