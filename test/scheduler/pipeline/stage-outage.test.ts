/** Stages whose copies are lost and come back: who waits, who is refused, and what the model says of itself. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InferenceError } from "../../../proto/errors.ts";
import type { InferenceRequest } from "../../../proto/inference.ts";
import { BatchedModel } from "../../../scheduler/batched-model.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import type { ExecutedBatch, Outage } from "../../../scheduler/instance.ts";
import { InstanceLostError } from "../../../scheduler/lost-batch.ts";
import { StagePipeline } from "../../../scheduler/pipeline/stage-pipeline.ts";
import { floats, fp32, request, signature, spec } from "../../support/tensors.ts";
import { TimedInstance } from "../../support/timed-instance.ts";

const RUN_MS = 10;
const SIGNATURE = signature({ inputs: [spec("x", [1])], outputs: [spec("y", [1])] });
const QUEUE = { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false };

/** A copy that can be lost, as a process is: the batch in hand goes with it. */
class LosableInstance extends TimedInstance {
  outage: Outage | undefined;
  #tell: () => void = () => undefined;
  #lose: ((reason: InferenceError) => void) | undefined;

  override execute(requests: readonly InferenceRequest[]): Promise<ExecutedBatch> {
    const run = super.execute(requests);
    return new Promise((resolve, reject) => {
      this.#lose = reject;
      run.then(resolve, reject);
    });
  }

  onOutageChange(callback: () => void): void {
    this.#tell = callback;
  }

  /** `isDown`: too often. */
  lose(isDown = false): void {
    this.outage = { isDown, reason: new InferenceError("UNAVAILABLE", `${this.name} died`) };
    this.#lose?.(new InstanceLostError("UNAVAILABLE", `${this.name} died`));
    this.#tell();
  }

  comeBack(): void {
    this.outage = undefined;
    this.#tell();
  }
}

function setUp(firstCopies: number, lastCopies: number) {
  const clock = new VirtualClock();
  const copies = (count: number, id: string, from: string, to: string) =>
    Array.from(
      { length: count },
      (_, i) =>
        new LosableInstance(
          clock,
          RUN_MS,
          ({ inputs }) => [fp32(to, inputs[0]?.shape ?? [], floats(inputs.find(({ name }) => name === from)))],
          `${id}_${i}`,
        ),
    );
  const first = copies(firstCopies, "first", "x", "hidden");
  const last = copies(lastCopies, "last", "hidden", "y");
  const stages = [
    { id: "first", instances: first, inputs: ["x"], outputs: ["hidden"] },
    { id: "last", instances: last, inputs: ["hidden"], outputs: ["y"] },
  ];
  const instances = new StagePipeline(SIGNATURE, stages, clock).heads;
  const model = new BatchedModel({ signature: SIGNATURE, instances, batching: null, queuePolicy: QUEUE, clock });
  const answered: number[] = [];
  const failed: string[] = [];
  const ask = (x: number) =>
    void model.infer(request({ inputs: [fp32("x", [1, 1], [x])] })).then(
      ({ outputs }) => answered.push(...floats(outputs[0])),
      (error: Error) => failed.push(error.message),
    );
  return { clock, model, first, last, ask, answered, failed };
}

/** One copy of those that the test made. */
function copy(copies: readonly LosableInstance[], index = 0): LosableInstance {
  const found = copies[index];
  assert.ok(found);
  return found;
}

describe("a pipeline whose copies are lost", () => {
  for (const stage of ["first", "last"] as const) {
    it(`runs a batch again that was lost in its ${stage} stage, once that is back`, async () => {
      const { clock, model, ask, answered, failed, ...copies } = setUp(1, 1);
      const lost = copy(copies[stage]);
      ask(7);
      await clock.advance(stage === "first" ? 5 : 15);
      lost.lose();
      await clock.advance(200);
      assert.deepEqual([answered, failed], [[], []]);
      assert.equal(model.isReady, true, "it is back soon");
      lost.comeBack();
      await clock.advance(100);
      assert.deepEqual([answered, failed], [[7], []]);
    });
  }

  it("goes on with the other copy of a stage", async () => {
    const { clock, last, ask, answered, failed } = setUp(1, 2);
    for (let x = 0; x < 6; x++) ask(x);
    await clock.advance(15);
    copy(last, 0).lose();
    await clock.advance(500);
    assert.deepEqual([answered.sort(), failed], [[0, 1, 2, 3, 4, 5], []]);
  });

  it("lets no more batches in than copies of the first stage are there", async () => {
    const { clock, first, ask, answered } = setUp(2, 2);
    copy(first, 0).lose();
    for (let x = 0; x < 4; x++) ask(x);
    await clock.advance(RUN_MS / 2);
    assert.deepEqual([copy(first, 0).batches.length, copy(first, 1).batches.length], [0, 1]);
    copy(first, 0).comeBack();
    await clock.advance(1);
    assert.equal(copy(first, 0).batches.length, 1, "the copy that is back takes a batch at once");
    await clock.advance(100);
    assert.equal(answered.length, 4);
  });

  it("keeps batches in the queue while a later stage has no copy, where they can be answered or leave", async () => {
    const { clock, first, last, ask, answered } = setUp(1, 1);
    copy(last).lose();
    for (let x = 0; x < 3; x++) ask(x);
    await clock.advance(100);
    assert.equal(copy(first).batches.length, 0);
    copy(last).comeBack();
    await clock.advance(100);
    assert.deepEqual(answered, [0, 1, 2]);
  });

  it("is not ready and refuses where a stage's copies all ended too often, until one is back", async () => {
    const { clock, model, last, ask, answered, failed } = setUp(1, 2);
    for (let x = 0; x < 5; x++) ask(x);
    await clock.advance(15);
    copy(last, 0).lose(true);
    await clock.advance(0);
    assert.equal(model.isReady, true, "the other copy runs");
    copy(last, 1).lose(true);
    await clock.advance(100);
    assert.equal(model.isReady, false);
    ask(9);
    await clock.advance(100);
    assert.deepEqual([answered, failed.length], [[], 6]);
    assert.deepEqual([...new Set(failed)], ["last_0 died"]);
    copy(last, 1).comeBack();
    assert.equal(model.isReady, true);
    ask(10);
    await clock.advance(100);
    assert.deepEqual(answered, [10]);
  });
});
