/** What an instance hears of callers that no longer wait for their part of a batch. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InferenceError } from "../../proto/errors.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import { BatchedModel } from "../../scheduler/batched-model.ts";
import { Cancellation } from "../../scheduler/cancellation.ts";
import { VirtualClock } from "../../scheduler/clock.ts";
import { fp32, request, signature } from "../support/tensors.ts";
import { TimedInstance } from "../support/timed-instance.ts";

/** Keeps the cancellation of each batch. */
class ListeningInstance extends TimedInstance {
  readonly heard: (Cancellation | undefined)[] = [];

  override execute(requests: readonly InferenceRequest[], cancellation?: Cancellation) {
    this.heard.push(cancellation);
    return super.execute(requests);
  }
}

function setUp() {
  const clock = new VirtualClock();
  const instance = new ListeningInstance(clock, 10);
  const model = new BatchedModel({
    signature: signature(),
    instances: [instance],
    batching: { maxBatchSize: 8, preferredBatchSizes: [8], maxQueueDelayMs: 5, preserveOrdering: false },
    queuePolicy: { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false },
    clock,
  });
  const ask = (cancellation: Cancellation) =>
    model.infer(request({ inputs: [fp32("INPUT0", [1, 2], [1, 2])] }), cancellation).catch(InferenceError.from);
  return { clock, instance, model, ask };
}

const GONE = new InferenceError("CANCELLED", "gone");

describe("the cancellation of a batch", () => {
  it("fires when the last of its requests is cancelled, not before", async () => {
    const { clock, instance, ask } = setUp();
    const [a, b] = [new Cancellation(), new Cancellation()];
    void ask(a);
    void ask(b);
    await clock.advance(6);
    assert.equal(instance.heard.length, 1);
    a.cancel(GONE);
    assert.equal(instance.heard[0]?.reason, undefined);
    b.cancel(GONE);
    assert.equal(instance.heard[0]?.reason, GONE);
  });

  it("has the latest deadline of its requests, none where one has none", async () => {
    const { clock, instance, ask } = setUp();
    void ask(new Cancellation(40));
    void ask(new Cancellation(70));
    await clock.advance(20);
    assert.equal(instance.heard[0]?.deadlineMs, 70);
    void ask(new Cancellation(40));
    void ask(new Cancellation());
    await clock.advance(20);
    assert.equal(instance.heard[1]?.deadlineMs, Number.POSITIVE_INFINITY);
  });

  it("does not fire once the batch has ended, well or badly", async () => {
    const { clock, instance, ask } = setUp();
    const late = new Cancellation();
    void ask(late);
    await clock.advance(20);
    late.cancel(GONE);
    instance.failure = new InferenceError("INTERNAL", "broken");
    const failed = ask(new Cancellation());
    await clock.advance(20);
    assert.equal((await failed) === instance.failure, true);
    assert.deepEqual(
      instance.heard.map((cancellation) => cancellation?.reason),
      [undefined, undefined],
    );
  });
});
