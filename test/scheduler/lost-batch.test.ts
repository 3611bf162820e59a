/** Batches whose instance ended: what runs again, what is refused, and what waits for a replacement. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InferenceError } from "../../proto/errors.ts";
import type { InferenceRequest } from "../../proto/inference.ts";
import { BatchedModel } from "../../scheduler/batched-model.ts";
import { Cancellation } from "../../scheduler/cancellation.ts";
import { VirtualClock } from "../../scheduler/clock.ts";
import type { Outage } from "../../scheduler/instance.ts";
import { afterLoss, InstanceLostError, PoisonMemory } from "../../scheduler/lost-batch.ts";
import { StagePipeline } from "../../scheduler/pipeline/stage-pipeline.ts";
import { fp32, request, signature } from "../support/tensors.ts";
import { TimedInstance } from "../support/timed-instance.ts";

const RUN_MS = 10;
const RESTART_MS = 200;

/** Ends while it runs a batch with a request named "poison", or when told to; is replaced after a while. */
class MortalInstance extends TimedInstance {
  outage: Outage | undefined;
  /** Whether a replacement comes. */
  isReplaced = true;
  restarts = 0;
  readonly #time: VirtualClock;
  #onChange: () => void = () => undefined;
  #lose: (() => void) | undefined;

  constructor(clock: VirtualClock, name: string) {
    super(clock, RUN_MS, undefined, name);
    this.#time = clock;
  }

  onOutageChange(callback: () => void): void {
    this.#onChange = callback;
  }

  override execute(requests: readonly InferenceRequest[]): ReturnType<TimedInstance["execute"]> {
    const lost = new Promise<never>((_, reject) => {
      this.#lose = () => reject(new InstanceLostError("UNAVAILABLE", `${this.name} died`));
    });
    const run = super.execute(requests);
    if (requests.some(({ id }) => id === "poison")) this.kill();
    return Promise.race([run, lost]);
  }

  kill(): void {
    this.#lose?.();
    const reason = new InferenceError("UNAVAILABLE", `${this.name} is out`);
    this.outage = { isDown: !this.isReplaced, reason };
    this.#onChange();
    if (!this.isReplaced) return;
    this.#time.at(this.#time.now() + RESTART_MS, () => this.revive());
  }

  revive(): void {
    this.restarts++;
    this.outage = undefined;
    this.#onChange();
  }
}

function setUp(instances = 1) {
  const clock = new VirtualClock();
  const mortal = Array.from({ length: instances }, (_, i) => new MortalInstance(clock, `m_${i}`));
  const model = new BatchedModel({
    signature: signature(),
    instances: mortal,
    batching: { maxBatchSize: 8, preferredBatchSizes: [], maxQueueDelayMs: 0, preserveOrdering: false },
    queuePolicy: { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false },
    clock,
    fingerprint: ({ id }) => id,
  });
  const log: string[] = [];
  const ask = (id: string, cancellation?: Cancellation): void => {
    model.infer(request({ id, inputs: [fp32("INPUT0", [1, 2], [1, 2])] }), cancellation).then(
      () => log.push(`${id} at ${clock.now()}`),
      (error: unknown) => log.push(`${id}: ${InferenceError.from(error).code} ${InferenceError.from(error).message}`),
    );
  };
  return { clock, model, mortal, instance: mortal[0] as MortalInstance, ask, log };
}

describe("afterLoss", () => {
  it("runs a request again while somebody waits, then alone, then calls it poison", () => {
    assert.equal(afterLoss(1, 100, 99), "rerun");
    assert.equal(afterLoss(1, 100, 100), "fail");
    assert.equal(afterLoss(2, Number.POSITIVE_INFINITY, 0), "rerunAlone");
    assert.equal(afterLoss(2, 0, 0), "fail");
    assert.equal(afterLoss(3, 0, 0), "poison");
  });
});

describe("a lost batch", () => {
  it("runs again on another instance at once", async () => {
    const { clock, ask, log, mortal } = setUp(2);
    ask("a");
    ask("b");
    await clock.advance(5);
    mortal.find((instance) => instance.batches.length > 0)?.kill();
    await clock.advance(20);
    assert.deepEqual(log, ["a at 15", "b at 15"]);
    assert.deepEqual(
      mortal.map((instance) => instance.batchIds),
      [["a+b"], ["a+b"]],
    );
  });

  it("waits for the replacement where there is no other, and keeps its place before later requests", async () => {
    const { clock, ask, log, instance, model } = setUp();
    ask("a");
    await clock.advance(5);
    ask("b");
    await clock.advance(1);
    instance.kill();
    await clock.advance(100);
    ask("c");
    assert.equal(model.statistics.pendingRequestCount, 3);
    await clock.advance(120);
    assert.deepEqual(instance.batchIds, ["a", "a+b+c"]);
    assert.deepEqual(log, ["a at 216", "b at 216", "c at 216"]);
    assert.equal(model.statistics.pendingRequestCount, 0);
  });

  it("does not run again for callers who no longer wait", async () => {
    const { clock, ask, log, instance } = setUp();
    const late = new Cancellation(5);
    const gone = new Cancellation();
    ask("late", late);
    ask("gone", gone);
    ask("a");
    await clock.advance(5);
    gone.cancel(new InferenceError("CANCELLED", "bye"));
    instance.kill();
    await clock.advance(500);
    assert.deepEqual(log, ["gone: CANCELLED bye", "late: UNAVAILABLE m_0 died", "a at 215"]);
    assert.deepEqual(instance.batchIds, ["late+gone+a", "a"]);
  });

  it("can be cancelled while it waits for the replacement", async () => {
    const { clock, ask, log, instance, model } = setUp();
    const cancellation = new Cancellation();
    ask("a", cancellation);
    await clock.advance(1);
    instance.kill();
    await clock.advance(1);
    cancellation.cancel(new InferenceError("DEADLINE_EXCEEDED", "too late"));
    await clock.advance(500);
    assert.deepEqual(log, ["a: DEADLINE_EXCEEDED too late"]);
    assert.equal(model.statistics.pendingRequestCount, 0);
    await model.close();
  });
});

describe("a query of death", () => {
  it("costs three instances and nobody else's answer, and is known for ten minutes", async () => {
    const { clock, ask, log, mortal } = setUp(2);
    for (const id of ["a", "poison", "b"]) ask(id);
    await clock.advance(2_000);
    const restarts = mortal.reduce((sum, instance) => sum + instance.restarts, 0);
    assert.equal(restarts, 3);
    const text =
      "poison: this request ended 3 instances of model 'm', the last one alone; it is not run again for 10 minutes. " +
      "Last end: m_";
    const [poison = ""] = log.filter((line) => line.startsWith("poison"));
    assert.ok(poison.startsWith(`poison: INTERNAL ${text}`), poison);
    assert.deepEqual(
      log.filter((line) => !line.startsWith("poison")).map((line) => line.split(" ")[0]),
      ["a", "b"],
    );

    const again =
      "poison: INTERNAL poison: the same inputs ended instances of model 'm' within the last 10 minutes; they are not run";
    log.length = 0;
    ask("poison");
    ask("c");
    await clock.advance(100);
    assert.equal(log[0], again);
    assert.match(log[1] ?? "", /^c at/);
    await clock.advance(600_000);
    ask("poison");
    await clock.advance(5_000);
    assert.equal(
      mortal.reduce((sum, instance) => sum + instance.restarts, 0),
      6,
      "forgotten after ten minutes",
    );
  });

  it("is remembered with at most a thousand others", () => {
    const memory = new PoisonMemory(({ id }) => id);
    for (let i = 0; i <= 1_000; i++) memory.remember(request({ id: `${i}` }), i);
    memory.check(request({ id: "0" }), 1_000);
    assert.throws(() => memory.check(request({ id: "1" }), 1_000), { code: "INTERNAL" });
    memory.check(request({ id: "1" }), 600_001);
  });
});

describe("instances that are down", () => {
  it("get nothing while others live", async () => {
    const { clock, ask, log, mortal } = setUp(2);
    const [first, second] = mortal as [MortalInstance, MortalInstance];
    first.isReplaced = false;
    first.kill();
    for (const id of ["a", "b", "c"]) {
      ask(id);
      await clock.advance(4);
    }
    await clock.advance(50);
    assert.equal(log.length, 3);
    assert.ok(log.every((line) => line.includes(" at ")));
    assert.deepEqual([first.batches.length, second.batchIds], [0, ["a", "b+c"]]);
  });

  it("all of them: what waits and what comes is refused at once, until one is back", async () => {
    const { clock, ask, log, instance, model } = setUp();
    instance.isReplaced = false;
    assert.equal(model.isReady, true);
    ask("a");
    await clock.advance(1);
    instance.kill();
    await clock.advance(1);
    ask("b");
    await clock.advance(1);
    assert.deepEqual(log, ["a: UNAVAILABLE m_0 is out", "b: UNAVAILABLE m_0 is out"]);
    assert.equal(model.isReady, false);
    instance.revive();
    assert.equal(model.isReady, true);
    ask("c");
    await clock.advance(20);
    assert.equal(log[2], "c at 13");
  });
});

describe("a pipeline of stages", () => {
  function pipelined() {
    const clock = new VirtualClock();
    const first = new TimedInstance(clock, RUN_MS, ({ inputs }) => inputs.map((input) => ({ ...input, name: "h" })));
    const second = new MortalInstance(clock, "s_1");
    const pipeline = new StagePipeline(
      signature({ outputs: [{ name: "h", datatype: "FP32", dims: [2] }] }),
      [
        { id: "0", instances: [first], inputs: ["INPUT0"], outputs: ["h"] },
        { id: "1", instances: [second], inputs: ["h"], outputs: ["h"] },
      ],
      clock,
    );
    const model = new BatchedModel({
      signature: signature({ outputs: [{ name: "h", datatype: "FP32", dims: [2] }] }),
      instances: pipeline.heads,
      batching: null,
      queuePolicy: { maxQueueSize: 0, serverQueueBound: 0, defaultTimeoutMs: 0, allowTimeoutOverride: false },
      clock,
    });
    const answer = model.infer(request({ id: "a", inputs: [fp32("INPUT0", [1, 2], [1, 2])] }));
    return { clock, second, answer, model };
  }

  it("runs a batch again from the start when a stage is lost, and waits for the stage's replacement", async () => {
    const { clock, second, answer, model } = pipelined();
    await clock.advance(15);
    second.kill();
    await clock.advance(150);
    assert.equal(second.batches.length, 1);
    await clock.advance(100);
    assert.equal((await answer).outputs[0]?.name, "h");
    await model.close();
  });

  it("reports the instances of its stages, each once", async () => {
    const { clock, second, answer, model } = pipelined();
    const state = {
      name: "s_1",
      isolation: "process",
      device: "cpu",
      state: "ready",
      crashes: 0,
      hangs: 0,
      restarts: 0,
    } as const;
    Object.assign(second, { report: state });
    assert.deepEqual(model.instanceReports, [state]);
    await clock.advance(50);
    await answer;
    await model.close();
  });

  it("fails a batch whose stage is down", async () => {
    const { clock, second, answer, model } = pipelined();
    second.isReplaced = false;
    const failed = assert.rejects(answer, { code: "UNAVAILABLE", message: "s_1 is out" });
    await clock.advance(15);
    second.kill();
    await clock.advance(50);
    await failed;
    second.revive();
    const later = model.infer(request({ id: "b", inputs: [fp32("INPUT0", [1, 2], [1, 2])] }));
    await clock.advance(30);
    assert.equal((await later).id, "b");
    await model.close();
  });
});
