import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type BatchPolicy, decide, type QueuedRequest } from "../../scheduler/batcher.ts";

const WAIT = "wait";

interface Case {
  readonly title: string;
  /** Rows of the waiting requests; a letter after the number is the batch key. */
  readonly queue: readonly string[];
  readonly preferred?: readonly number[];
  readonly max?: number;
  readonly delayMs?: number;
  /** Age of the oldest request. */
  readonly ageMs?: number;
  readonly expected: number | typeof WAIT | "idle";
}

// Expectations follow Triton's GetDynamicBatch line by line.
const CASES: readonly Case[] = [
  { title: "nothing waits", queue: [], expected: "idle" },
  { title: "delay 0 sends what is there", queue: ["1", "1"], preferred: [8], expected: 2 },
  { title: "with a delay a part of a batch waits", queue: ["1", "1"], preferred: [8], delayMs: 5, expected: WAIT },
  { title: "a preferred size goes at once", queue: ["1", "1", "1", "1"], preferred: [4, 8], delayMs: 5, expected: 4 },
  { title: "the largest preferred size wins", queue: ["2", "2", "2", "2"], preferred: [4, 8], delayMs: 5, expected: 4 },
  { title: "beyond a preferred size the rest stays", queue: ["4", "1"], preferred: [4, 8], delayMs: 5, expected: 1 },
  {
    title: "after the delay everything pending goes, past a preferred size",
    queue: ["4", "1"],
    preferred: [4, 8],
    delayMs: 5,
    ageMs: 5,
    expected: 2,
  },
  { title: "before the delay it waits", queue: ["3"], preferred: [4], delayMs: 5, ageMs: 4.9, expected: WAIT },
  { title: "at the delay it goes", queue: ["3"], preferred: [4], delayMs: 5, ageMs: 5, expected: 1 },
  {
    title: "a total that would pass all preferred sizes goes without the last request",
    queue: ["3", "3"],
    preferred: [4],
    delayMs: 5,
    expected: 1,
  },
  {
    title: "a request above the preferred size but within the maximum",
    queue: ["6"],
    preferred: [4],
    delayMs: 5,
    expected: 1,
  },
  { title: "the maximum is a cap", queue: ["5", "4"], preferred: [8], expected: 1 },
  { title: "the full batch", queue: ["4", "4", "4"], preferred: [8], delayMs: 5, expected: 2 },
  { title: "another shape closes the batch", queue: ["1a", "1a", "1b"], preferred: [8], delayMs: 5, expected: 2 },
  {
    title: "another shape closes it also after the delay",
    queue: ["1a", "1b"],
    preferred: [8],
    delayMs: 5,
    ageMs: 9,
    expected: 1,
  },
  { title: "without preferred sizes the maximum counts", queue: ["4", "4"], preferred: [], delayMs: 5, expected: 2 },
  { title: "one request of the maximum", queue: ["8"], preferred: [8], delayMs: 5, expected: 1 },
];

describe("decide", () => {
  for (const { title, queue, preferred = [], max = 8, delayMs = 0, ageMs = 0, expected } of CASES) {
    it(title, () => {
      const decision = decide(
        queue.map((text) => ({ rows: Number.parseInt(text, 10), enqueuedMs: 100, batchKey: text.slice(1) })),
        { maxBatchSize: max, preferredBatchSizes: preferred, maxQueueDelayMs: delayMs, preserveOrdering: false },
        100 + ageMs,
      );
      if (expected === "idle") assert.deepEqual(decision, { kind: "idle" });
      else if (expected === WAIT) assert.deepEqual(decision, { kind: "wait", untilMs: 100 + delayMs });
      else assert.deepEqual(decision, { kind: "dispatch", count: expected });
    });
  }

  it("never exceeds the maximum, never mixes keys, never waits beyond the delay", () => {
    const policies: fc.Arbitrary<BatchPolicy> = fc
      .record({
        maxBatchSize: fc.integer({ min: 1, max: 16 }),
        preferredBatchSizes: fc.array(fc.integer({ min: 1, max: 16 }), { maxLength: 3 }),
        maxQueueDelayMs: fc.nat(10),
        preserveOrdering: fc.constant(false),
      })
      .map((policy) => ({
        ...policy,
        preferredBatchSizes: policy.preferredBatchSizes.filter((size) => size <= policy.maxBatchSize),
      }));
    const queues = fc.array(fc.record({ rows: fc.integer({ min: 1, max: 16 }), batchKey: fc.constantFrom("a", "b") }), {
      minLength: 1,
    });
    fc.assert(
      fc.property(policies, queues, fc.nat(20), (policy, shapes, nowMs) => {
        const queue: QueuedRequest[] = shapes.map((shape) => ({
          rows: Math.min(shape.rows, policy.maxBatchSize),
          batchKey: shape.batchKey,
          enqueuedMs: 0,
        }));
        const decision = decide(queue, policy, nowMs);
        if (decision.kind === "idle") assert.fail("a request waits");
        if (decision.kind === "wait") {
          assert.equal(decision.untilMs, policy.maxQueueDelayMs);
          assert.ok(nowMs < policy.maxQueueDelayMs);
          return;
        }
        const sent = queue.slice(0, decision.count);
        assert.ok(decision.count >= 1);
        assert.ok(sent.reduce((rows, each) => rows + each.rows, 0) <= policy.maxBatchSize);
        assert.equal(new Set(sent.map((each) => each.batchKey)).size, 1);
      }),
    );
  });
});
