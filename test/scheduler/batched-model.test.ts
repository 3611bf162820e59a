import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InferenceError } from "../../proto/errors.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import { BatchedModel, type BatchedModelOptions } from "../../scheduler/batched-model.ts";
import type { BatchPolicy } from "../../scheduler/batcher.ts";
import { Cancellation } from "../../scheduler/cancellation.ts";
import { VirtualClock } from "../../scheduler/clock.ts";
import type { QueuePolicy } from "../../scheduler/queue-policy.ts";
import { floats, fp32, request, signature, spec } from "../support/tensors.ts";
import { TimedInstance } from "../support/timed-instance.ts";

const BATCHING: BatchPolicy = {
  maxBatchSize: 8,
  preferredBatchSizes: [8],
  maxQueueDelayMs: 5,
  preserveOrdering: false,
};
const QUEUE: QueuePolicy = { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false };

function setUp(overrides: Partial<BatchedModelOptions> = {}, instances = 1, executeMs = 10) {
  const clock = new VirtualClock();
  const timed = Array.from({ length: instances }, (_, i) => new TimedInstance(clock, executeMs, undefined, `m_${i}`));
  const model = new BatchedModel({
    signature: signature(),
    instances: timed,
    batching: BATCHING,
    queuePolicy: QUEUE,
    clock,
    ...overrides,
  });
  return { clock, model, instances: timed, instance: timed[0] as TimedInstance };
}

function ask(id: string, rows = 1, overrides: Partial<InferenceRequest> = {}): InferenceRequest {
  const values = Array.from({ length: rows * 2 }, (_, i) => i);
  return request({ id, inputs: [fp32("INPUT0", [rows, 2], values)], ...overrides });
}

/** Outcomes of promises in the order in which they settle. */
class Outcomes {
  readonly log: string[] = [];

  async watch(id: string, outcome: Promise<unknown>): Promise<void> {
    try {
      await outcome;
      this.log.push(id);
    } catch (error) {
      this.log.push(`${id}: ${InferenceError.from(error).code} ${InferenceError.from(error).message}`);
    }
  }
}

describe("dynamic batching", () => {
  it("waits for the delay, then sends all that came", async () => {
    const { clock, model, instance } = setUp();
    const outcomes = new Outcomes();
    void outcomes.watch("a", model.infer(ask("a")));
    await clock.advance(4);
    void outcomes.watch("b", model.infer(ask("b", 2)));
    await clock.advance(0.9);
    assert.deepEqual(instance.batchIds, []);
    await clock.advance(0.1);
    assert.deepEqual(instance.batchIds, ["a+b"]);
    await clock.advance(10);
    assert.deepEqual(outcomes.log, ["a", "b"]);
  });

  it("sends a full batch before the delay", async () => {
    const { clock, model, instance } = setUp();
    for (const id of ["a", "b"]) void model.infer(ask(id, 4));
    await clock.advance(0);
    assert.deepEqual(instance.batchIds, ["a+b"]);
  });

  it("forms the next batch from what arrived while the instance was busy", async () => {
    const { clock, model, instance } = setUp({ batching: { ...BATCHING, maxQueueDelayMs: 0 } });
    void model.infer(ask("a"));
    await clock.advance(1);
    for (const id of ["b", "c", "d"]) {
      void model.infer(ask(id));
      await clock.advance(1);
    }
    await clock.advance(10);
    assert.deepEqual(instance.batchIds, ["a", "b+c+d"]);
  });

  it("joins requests of one turn of the event loop even with delay 0", async () => {
    const { clock, model, instance } = setUp({ batching: { ...BATCHING, maxQueueDelayMs: 0 } });
    for (const id of ["a", "b", "c"]) void model.infer(ask(id));
    await clock.advance(0);
    assert.deepEqual(instance.batchIds, ["a+b+c"]);
  });

  it("keeps other shapes of a variable dimension out of a batch", async () => {
    const variable = signature({ inputs: [spec("INPUT0", [-1])], outputs: [spec("OUTPUT0", [-1])] });
    const { clock, model, instance } = setUp({ signature: variable, batching: { ...BATCHING, maxQueueDelayMs: 0 } }, 2);
    for (const [id, width] of [
      ["a", 2],
      ["b", 2],
      ["c", 3],
    ] as const) {
      const values = new Array<number>(width).fill(0);
      void model.infer(request({ id, inputs: [fp32("INPUT0", [1, width], values)] }));
    }
    await clock.advance(0);
    assert.deepEqual(instance.batchIds, ["a+b"]);
    await clock.advance(30);
    assert.equal(model.statistics.executionCount, 2);
  });

  it("asks for one timer, however many requests wait", async () => {
    const { clock, model } = setUp();
    let timers = 0;
    const at = clock.at.bind(clock);
    clock.at = (time, callback) => {
      if (time > clock.now()) timers++;
      return at(time, callback);
    };
    for (let i = 0; i < 7; i++) {
      void model.infer(ask(String(i)));
      await clock.advance(0.1);
    }
    assert.equal(timers, 1);
  });
});

describe("default scheduler", () => {
  it("runs one request an execution, at once", async () => {
    const { model, instance, clock } = setUp({ batching: null });
    for (const id of ["a", "b"]) void model.infer(ask(id));
    assert.deepEqual(instance.batchIds, ["a"]);
    await clock.advance(20);
    assert.deepEqual(instance.batchIds, ["a", "b"]);
  });
});

describe("instances", () => {
  it("gives work to the instance that worked least", async () => {
    const { clock, model, instances } = setUp({ batching: null }, 2);
    for (const id of ["a", "b", "c", "d"]) {
      void model.infer(ask(id));
      await clock.advance(20);
    }
    assert.deepEqual(
      instances.map((each) => each.batchIds),
      [
        ["a", "c"],
        ["b", "d"],
      ],
    );
  });

  it("turns away from an instance that fails", async () => {
    const { clock, model, instances } = setUp({ batching: null }, 2);
    const [broken, healthy] = instances as [TimedInstance, TimedInstance];
    broken.failure = new InferenceError("UNAVAILABLE", "the worker died");
    const outcomes = new Outcomes();
    for (const id of ["a", "b", "c", "d"]) {
      void outcomes.watch(id, model.infer(ask(id)));
      await clock.advance(20);
    }
    assert.deepEqual(broken.batchIds, ["a"]);
    assert.deepEqual(healthy.batchIds, ["b", "c", "d"]);
    assert.deepEqual(outcomes.log, ["a: UNAVAILABLE the worker died", "b", "c", "d"]);
    assert.equal(model.statistics.failures.BACKEND, 1);
  });
});

describe("order of responses", () => {
  for (const [preserveOrdering, expected] of [
    [true, ["slow", "fast"]],
    [false, ["fast", "slow"]],
  ] as const) {
    it(`preserve_ordering ${preserveOrdering}`, async () => {
      const clock = new VirtualClock();
      const model = new BatchedModel({
        signature: signature(),
        instances: [new TimedInstance(clock, 50), new TimedInstance(clock, 10)],
        batching: { ...BATCHING, maxQueueDelayMs: 0, preserveOrdering },
        queuePolicy: QUEUE,
        clock,
      });
      const outcomes = new Outcomes();
      void outcomes.watch("slow", model.infer(ask("slow")));
      await clock.advance(1);
      void outcomes.watch("fast", model.infer(ask("fast")));
      await clock.advance(100);
      assert.deepEqual(outcomes.log, expected);
    });
  }
});

describe("cancellation and time-outs", () => {
  it("takes a cancelled request out of the queue at once", async () => {
    const { clock, model, instance } = setUp({ batching: null });
    const outcomes = new Outcomes();
    const cancellation = new Cancellation();
    void outcomes.watch("a", model.infer(ask("a")));
    void outcomes.watch("b", model.infer(ask("b"), cancellation));
    void outcomes.watch("c", model.infer(ask("c")));
    assert.equal(model.statistics.pendingRequestCount, 2);
    cancellation.cancel(new InferenceError("CANCELLED", ""));
    assert.equal(model.statistics.pendingRequestCount, 1);
    await clock.advance(20);
    assert.deepEqual(instance.batchIds, ["a", "c"]);
    assert.deepEqual(outcomes.log, ["b: CANCELLED ", "a", "c"]);
    assert.equal(model.statistics.failures.CANCELED, 1);
  });

  it("answers a running request's cancellation at once and drops its result", async () => {
    const { clock, model } = setUp({ batching: null });
    const outcomes = new Outcomes();
    const cancellation = new Cancellation();
    void outcomes.watch("a", model.infer(ask("a"), cancellation));
    cancellation.cancel(new InferenceError("DEADLINE_EXCEEDED", "too late"));
    await clock.advance(0);
    assert.deepEqual(outcomes.log, ["a: DEADLINE_EXCEEDED too late"]);
    await clock.advance(20);
    assert.equal(model.statistics.success.count, 0);
    assert.equal(model.statistics.executionCount, 1);
  });

  it("refuses a request that was cancelled before it came", async () => {
    const { model, instance } = setUp({ batching: null });
    const cancellation = new Cancellation();
    cancellation.cancel(new InferenceError("CANCELLED", "gone"));
    await assert.rejects(model.infer(ask("a"), cancellation), { code: "CANCELLED" });
    assert.deepEqual(instance.batchIds, []);
  });

  it("rejects what waits longer than the default time-out, also while the instance is busy", async () => {
    const { clock, model } = setUp({ batching: null, queuePolicy: { ...QUEUE, defaultTimeoutMs: 4 } });
    const outcomes = new Outcomes();
    void outcomes.watch("a", model.infer(ask("a")));
    void outcomes.watch("b", model.infer(ask("b")));
    await clock.advance(3.9);
    assert.deepEqual(outcomes.log, []);
    await clock.advance(0.1);
    assert.deepEqual(outcomes.log, ["b: UNAVAILABLE Request timeout expired"]);
    assert.equal(model.statistics.failures.REJECTED, 1);
  });

  it("lets a request shorten its time-out only where the policy allows it", async () => {
    for (const [allowTimeoutOverride, expected] of [
      [true, 1],
      [false, 0],
    ] as const) {
      const queuePolicy = { ...QUEUE, defaultTimeoutMs: 8, allowTimeoutOverride };
      const { clock, model } = setUp({ batching: null, queuePolicy });
      const timeout = new Map([["timeout", { kind: "int64", value: 2000n } as const]]);
      void model.infer(ask("a"));
      model.infer(ask("b", 1, { parameters: timeout })).catch(() => undefined);
      await clock.advance(3);
      assert.equal(model.statistics.failures.REJECTED, expected);
    }
  });
});

describe("queue bound", () => {
  it("refuses with Triton's text at the model's own bound", async () => {
    const { model } = setUp({ batching: null, queuePolicy: { ...QUEUE, maxQueueSize: 1 } });
    void model.infer(ask("a"));
    void model.infer(ask("b"));
    await assert.rejects(model.infer(ask("c")), {
      code: "UNAVAILABLE",
      message: "[request id: c] Exceeds maximum queue size",
    });
  });

  it("refuses at the server's bound with a text that names the flag", async () => {
    const { model } = setUp({ batching: null, queuePolicy: { ...QUEUE, serverQueueBound: 2 } });
    for (const id of ["a", "b", "c"]) void model.infer(ask(id));
    await assert.rejects(model.infer(ask("d")), /2 requests wait for model 'm'.*--max-queued-requests/);
  });
});

describe("answers and statistics", () => {
  it("gives each request its own rows and counts as Triton", async () => {
    const { clock, model } = setUp();
    const answers = Promise.all([model.infer(ask("a", 1)), model.infer(ask("b", 3))]);
    await clock.advance(20);
    const [a, b] = await answers;
    assert.equal(a.id, "a");
    assert.equal(a.modelVersion, "1");
    assert.deepEqual(floats(b.outputs[0]), [0, 1, 2, 3, 4, 5]);
    const { statistics } = model;
    assert.equal(statistics.inferenceCount, 4);
    assert.equal(statistics.executionCount, 1);
    assert.deepEqual(statistics.success, { count: 2, ms: 30 });
    assert.deepEqual(statistics.queue, { count: 2, ms: 10 });
    assert.deepEqual(statistics.computeInfer, { count: 2, ms: 20 });
    assert.deepEqual(
      statistics.batches.map((batch) => [batch.batchSize, batch.computeInfer.count]),
      [[4, 1]],
    );
  });

  it("counts no probes, but the whole batch where one went along with a request", async () => {
    const { clock, model } = setUp();
    const probe = model.infer({ ...ask("a", 1), isProbe: true });
    await clock.advance(20);
    await probe;
    assert.equal(model.statistics.executionCount, 0);
    const both = Promise.all([model.infer({ ...ask("b", 1), isProbe: true }), model.infer(ask("c", 2))]);
    await clock.advance(20);
    await both;
    assert.deepEqual([model.statistics.inferenceCount, model.statistics.success.count], [2, 1]);
    assert.deepEqual(
      model.statistics.batches.map(({ batchSize }) => batchSize),
      [3],
    );
  });

  it("returns only the outputs asked for", async () => {
    const two = signature({
      inputs: [spec("INPUT0", [2]), spec("INPUT1", [2])],
      outputs: [spec("OUTPUT0", [2]), spec("OUTPUT1", [2])],
    });
    const { clock, model } = setUp({ signature: two, batching: null });
    const answer = model.infer(
      request({
        inputs: [fp32("INPUT0", [1, 2], [1, 2]), fp32("INPUT1", [1, 2], [3, 4])],
        requestedOutputs: [{ name: "OUTPUT1", parameters: new Map() }],
      }),
    );
    await clock.advance(10);
    assert.deepEqual(
      (await answer).outputs.map((output) => output.name),
      ["OUTPUT1"],
    );
  });
});

describe("close", () => {
  it("answers what waits, refuses what comes, then closes the instances", async () => {
    const { clock, model, instance } = setUp({ batching: null });
    const outcomes = new Outcomes();
    void outcomes.watch("a", model.infer(ask("a")));
    void outcomes.watch("b", model.infer(ask("b")));
    void outcomes.watch("closed", model.close());
    await assert.rejects(model.infer(ask("c")), { code: "UNAVAILABLE", message: /stopped accepting new inference/ });
    assert.equal(instance.closed, false);
    await clock.advance(20);
    assert.deepEqual(outcomes.log, ["a", "b", "closed"]);
    assert.equal(instance.closed, true);
  });
});
