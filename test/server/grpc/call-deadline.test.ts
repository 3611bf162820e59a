import assert from "node:assert/strict";
import { it } from "node:test";
import { CallDeadline } from "../../../server/grpc/call-deadline.ts";

/** What a call that had this much time is cancelled for, this long before its end. */
function reason(timeoutMs: number, leftMs: number): string {
  const deadline = new CallDeadline(Date.now() + timeoutMs, 5_000);
  assert.ok(Math.abs(deadline.atMs - 5_000 - timeoutMs) < 1_000 || timeoutMs === Number.POSITIVE_INFINITY);
  return deadline.cancelReason(deadline.atMs - leftMs).code;
}

it("a cancelled call ran into its deadline if hardly any of its time was left, as its client counts", () => {
  for (const [timeoutMs, leftMs, code] of [
    [10_000, 0, "DEADLINE_EXCEEDED"],
    [10_000, -20, "DEADLINE_EXCEEDED"],
    [10_000, 99, "DEADLINE_EXCEEDED"],
    [10_000, 101, "CANCELLED"],
    [500, 30, "DEADLINE_EXCEEDED"],
    [500, 60, "CANCELLED"],
    [0, 1, "DEADLINE_EXCEEDED"],
    [0, 2, "CANCELLED"],
  ] as const) {
    assert.equal(reason(timeoutMs, leftMs), code, `${leftMs} of ${timeoutMs} ms left`);
  }
});

it("a call without a deadline is cancelled by its client", () => {
  const deadline = new CallDeadline(Number.POSITIVE_INFINITY);
  assert.equal(deadline.cancelReason().code, "CANCELLED");
  assert.equal(deadline.cancellation().deadlineMs, Number.POSITIVE_INFINITY);
});
