import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InferenceError } from "../../../proto/errors.ts";
import type { InferenceRequest } from "../../../proto/inference.ts";
import type { Tensor } from "../../../proto/tensor.ts";
import { BatchedModel } from "../../../scheduler/batched-model.ts";
import { Cancellation } from "../../../scheduler/cancellation.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import type { ModelInstance } from "../../../scheduler/instance.ts";
import { type PipelineStage, StagePipeline } from "../../../scheduler/pipeline/stage-pipeline.ts";
import type { ModelSignature } from "../../../scheduler/signature.ts";
import { floats, fp32, request, spec } from "../../support/tensors.ts";
import { type Answer, TimedInstance } from "../../support/timed-instance.ts";

const SIGNATURE: ModelSignature = {
  name: "giant",
  version: "1",
  maxBatchSize: 4,
  inputs: [spec("x", [1]), spec("mask", [1])],
  outputs: [spec("y", [1]), spec("early", [1])],
};
const QUEUE = { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false };

/** hidden = 2x and early = x + 1 in the first stage; y = hidden + mask * scale in the last; scale is a scalar. */
const FIRST: Answer = (asked) => [
  mapped("hidden", tensor(asked, "x"), (x) => 2 * x),
  mapped("early", tensor(asked, "x"), (x) => x + 1),
  { ...fp32("scale", [1], [10]), shape: [] },
];
const LAST: Answer = (asked) => {
  const mask = floats(tensor(asked, "mask"));
  const scale = floats(tensor(asked, "scale"))[0] ?? Number.NaN;
  return [mapped("y", tensor(asked, "hidden"), (h, i) => h + (mask[i] ?? Number.NaN) * scale)];
};

function setUp({ firstMs = 10, lastMs = 10, firstCopies = 1, lastCopies = 1, batching = true } = {}) {
  const clock = new VirtualClock();
  const copies = (count: number, ms: number, answer: Answer, id: string) =>
    Array.from({ length: count }, (_, i) => new TimedInstance(clock, ms, answer, `${id}_${i}`));
  const first = copies(firstCopies, firstMs, FIRST, "first");
  const last = copies(lastCopies, lastMs, LAST, "last");
  const pipeline = new StagePipeline(SIGNATURE, stagesOf(first, last), clock);
  const policy = { maxBatchSize: 4, preferredBatchSizes: [], maxQueueDelayMs: 0, preserveOrdering: false };
  const model = new BatchedModel({
    signature: SIGNATURE,
    instances: pipeline.heads,
    batching: batching ? policy : null,
    queuePolicy: QUEUE,
    clock,
  });
  return { clock, model, first, last, pipeline };
}

function stagesOf(first: readonly ModelInstance[], last: readonly ModelInstance[]): PipelineStage[] {
  return [
    { id: "giant-0", instances: first, inputs: ["x"], outputs: ["hidden", "early", "scale"] },
    { id: "giant-1", instances: last, inputs: ["hidden", "mask", "scale"], outputs: ["y"] },
  ];
}

function tensor(asked: InferenceRequest, name: string): Tensor {
  const found = asked.inputs.find((input) => input.name === name);
  assert.ok(found, `the stage did not get '${name}'`);
  return found;
}

function mapped(name: string, from: Tensor, value: (x: number, i: number) => number): Tensor {
  return fp32(name, [...from.shape], [...floats(from)].map(value));
}

function ask(values: readonly number[], overrides: Partial<InferenceRequest> = {}): InferenceRequest {
  const ones = values.map(() => 1);
  return request({
    modelName: "giant",
    inputs: [fp32("x", [values.length, 1], [...values]), fp32("mask", [values.length, 1], ones)],
    ...overrides,
  });
}

describe("a pipeline of stages", () => {
  it("answers each request with its own rows, from tensors of the request and of any earlier stage", async () => {
    const { clock, model, last } = setUp();
    const answers = Promise.all([model.infer(ask([1, 2])), model.infer(ask([3]))]);
    await clock.advance(20);
    const [a, b] = await answers;
    assert.deepEqual(
      a.outputs.map((output) => [output.name, output.shape, [...floats(output)]]),
      [
        ["y", [2, 1], [12, 14]],
        ["early", [2, 1], [2, 3]],
      ],
    );
    assert.deepEqual([...floats(b.outputs[0] as Tensor)], [16]);
    assert.equal(a.timing.computeInferMs, 20);
    assert.equal(last[0]?.batches.length, 1);
  });

  it("asks a stage only for what somebody needs of it", async () => {
    const { clock, model, first } = setUp();
    const answer = model.infer(ask([1], { requestedOutputs: [{ name: "y", parameters: new Map() }] }));
    await clock.advance(20);
    assert.deepEqual(
      (await answer).outputs.map((output) => output.name),
      ["y"],
    );
    assert.deepEqual(
      first[0]?.batches[0]?.[0]?.requestedOutputs.map((output) => output.name),
      ["hidden", "scale"],
    );
  });

  it("has a batch in every stage: the slowest stage sets the pace", async () => {
    const { clock, model } = setUp({ firstMs: 8, lastMs: 10, batching: false });
    let answered = 0;
    for (let i = 0; i < 100; i++) void model.infer(ask([i])).then(() => answered++);
    await clock.advance(8 + 10 * 50);
    assert.equal(answered, 50);
  });

  it("runs the copies of a stage beside each other", async () => {
    const { clock, model, last } = setUp({ firstMs: 5, lastMs: 10, lastCopies: 2, batching: false });
    let answered = 0;
    for (let i = 0; i < 40; i++) void model.infer(ask([i])).then(() => answered++);
    await clock.advance(10 + 5 * 40);
    assert.equal(answered, 39 + 1);
    assert.deepEqual(
      last.map((copy) => copy.batches.length),
      [20, 20],
    );
  });

  it("lets one batch wait at a stage's copy and no more: the rest wait in the model's queue, where batches grow", async () => {
    const { clock, model, first, last } = setUp({ firstMs: 1, lastMs: 100 });
    const answers: Promise<unknown>[] = [model.infer(ask([0])), model.infer(ask([0]))];
    await clock.advance(0);
    for (let i = 0; i < 3; i++) {
      await clock.advance(10);
      answers.push(model.infer(ask([i])));
    }
    // One batch runs in the last stage, one waits for it, one is done in the first stage and holds its copy.
    await clock.advance(50);
    assert.equal(last[0]?.batches.length, 1);
    const inFlight = first[0]?.batches.length ?? 0;
    for (let i = 0; i < 4; i++) answers.push(model.infer(ask([i])));
    await clock.advance(10);
    assert.equal(first[0]?.batches.length, inFlight);
    assert.equal(inFlight, 3);
    await clock.advance(1000);
    await Promise.all(answers);
    assert.deepEqual(tensor(first[0]?.batches[3]?.[0] as InferenceRequest, "x").shape, [4, 1]);
  });

  it("fails a batch with its stage's error and goes on with the next", async () => {
    const { clock, model, last } = setUp();
    (last[0] as TimedInstance).failure = new InferenceError("UNAVAILABLE", "the device is gone");
    const failed = model.infer(ask([1]));
    const reason = assert.rejects(failed, /the device is gone/);
    await clock.advance(20);
    await reason;
    (last[0] as TimedInstance).failure = undefined;
    for (let i = 0; i < 6; i++) void model.infer(ask([i]));
    const later = model.infer(ask([5]));
    await clock.advance(100);
    assert.deepEqual([...floats((await later).outputs[0] as Tensor)], [20]);
  });

  it("does not begin the next stage for a batch that nobody waits for", async () => {
    const { clock, model, last } = setUp();
    const cancellation = new Cancellation();
    const cancelled = assert.rejects(model.infer(ask([1]), cancellation), /gone/);
    await clock.advance(5);
    cancellation.cancel(new InferenceError("CANCELLED", "gone"));
    await clock.advance(20);
    await cancelled;
    assert.equal(last[0]?.batches.length, 0);
    const next = model.infer(ask([2]));
    await clock.advance(20);
    assert.deepEqual([...floats((await next).outputs[0] as Tensor)], [14]);
  });

  it("counts what each stage did", async () => {
    const { clock, model, pipeline } = setUp({ firstMs: 3, lastMs: 7 });
    void model.infer(ask([1]));
    await clock.advance(20);
    assert.deepEqual(
      [...pipeline.counters],
      [
        ["giant-0", { executionCount: 1, busyMs: 3 }],
        ["giant-1", { executionCount: 1, busyMs: 7 }],
      ],
    );
  });

  it("answers what it has, then closes every copy", async () => {
    const { clock, model, first, last } = setUp({ firstCopies: 2, lastCopies: 2 });
    let answered = 0;
    for (let i = 0; i < 3; i++) void model.infer(ask([i, i, i])).then(() => answered++);
    await clock.advance(1);
    const closed = model.close();
    await assert.rejects(model.infer(ask([1])), /is stopping|unavailable|not.*ready/i);
    await clock.advance(100);
    await closed;
    assert.equal(answered, 3);
    assert.ok([...first, ...last].every((copy) => copy.closed));
  });

  it("tells which output no stage made", async () => {
    const clock = new VirtualClock();
    const first = new TimedInstance(clock, 1, FIRST);
    const pipeline = new StagePipeline(SIGNATURE, stagesOf([first], [new TimedInstance(clock, 1, () => [])]), clock);
    const run = pipeline.heads[0]?.execute([ask([1])]);
    const reason = assert.rejects(run ?? Promise.resolve(), /model 'giant', stages: no stage made output 'y'/);
    await clock.advance(5);
    await reason;
  });
});
