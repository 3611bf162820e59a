import assert from "node:assert/strict";
import { test } from "node:test";
import { batchWaitMs, erlangC, queueWaitMs } from "../../../planner/placement/waiting.ts";

test("Erlang C: one server waits as often as it is busy; four at 80 % as in the tables", () => {
  near(erlangC(1, 0.8), 0.8);
  near(erlangC(2, 0.8), 0.7111111111);
  near(erlangC(4, 0.8), 0.5964);
  assert.equal(erlangC(3, 1), 1);
});

test("mean waits: M/D/1, M/M/1 and M/M/4 of the planner's reference", () => {
  const queue = { utilisation: 0.8, serviceMs: 10, arrivalCv: 1 };
  near(queueWaitMs({ ...queue, servers: 1, serviceCv: 0 }) + 10, 30);
  near(queueWaitMs({ ...queue, servers: 1, serviceCv: 1 }) + 10, 50);
  near(queueWaitMs({ ...queue, servers: 4, serviceCv: 1 }) + 10, 17.455, 1e-2);
  assert.equal(queueWaitMs({ ...queue, servers: Number.POSITIVE_INFINITY, serviceCv: 1 }), 0);
});

test("a batch waits until it is full, at most the queue delay; a batch of one does not wait", () => {
  assert.equal(batchWaitMs(5, 1000, 100), 4);
  assert.equal(batchWaitMs(5, 10, 100), 100);
  assert.equal(batchWaitMs(1, 0, 100), 0);
  assert.equal(batchWaitMs(4, Number.POSITIVE_INFINITY, 100), 0);
});

function near(actual: number, expected: number, within = 1e-4): void {
  assert.ok(Math.abs(actual - expected) < within, `${actual} is not ${expected}`);
}
