/** Models on another server: real connections to a server of ours in this process. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SharedBreakers } from "../../../model-repo/backends/breaker-registry.ts";
import type { ModelConfig } from "../../../model-repo/config/model-config.ts";
import { InferenceError } from "../../../proto/errors.ts";
import type { InferenceRequest, Parameter } from "../../../proto/inference.ts";
import { Cancellation } from "../../../scheduler/cancellation.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";
import { FakeModel } from "../../server/support/fake-repository.ts";
import { until } from "../../server/support/test-server.ts";
import { floats, fp32, request } from "../../support/tensors.ts";
import { freePort, type Level, loadLevel, loadLevelAt, startRemote } from "../support/remote-level.ts";

function ask(values: readonly number[], overrides: Partial<InferenceRequest> = {}): InferenceRequest {
  return request({ inputs: [fp32("INPUT0", [values.length / 2, 2], values)], ...overrides });
}

function failure(answer: Promise<unknown>): Promise<InferenceError> {
  return answer.then(() => assert.fail("it answered"), InferenceError.from);
}

const int64 = (value: bigint): Parameter => ({ kind: "int64", value });
const DYNAMIC = {
  dynamic_batching: { preferred_batch_size: [8], max_queue_delay_microseconds: 1_000, preserve_ordering: false },
} as unknown as Partial<ModelConfig>;

describe("a request to a remote level", () => {
  it("comes back with the remote's answer; id and parameters went along", async (t) => {
    const remote = await startRemote(t);
    const { model } = await loadLevel(t, remote.target, { parameters: { version: "1" } });
    const parameters = new Map([
      ["priority", int64(3n)],
      ["timeout", int64(5_000n)],
      ["tenant", { kind: "string", value: "blue" } as const],
    ]);
    const response = await model.infer(ask([1, 2, 3, 4], { id: "r1", parameters }));
    assert.deepEqual([response.modelName, response.id], ["m", "r1"]);
    assert.deepEqual(response.outputs[0]?.shape, [2, 2]);
    assert.deepEqual(floats(response.outputs[0]), [1, 2, 3, 4]);
    const [sent] = remote.model.requests;
    assert.deepEqual([sent?.modelName, sent?.modelVersion, sent?.id], ["giant", "1", "r1"]);
    assert.deepEqual(sent?.parameters, parameters);
    assert.deepEqual(
      sent.requestedOutputs.map((output) => output.name),
      ["OUTPUT0"],
    );
    assert.deepEqual(model.breakers, [
      {
        endpoint: remote.target,
        model: "m",
        state: 0,
        transitions: 0,
        calls: { success: 1, failure: 0, neutral: 0, refused: 0 },
      },
    ]);
  });

  it("goes out with its batch as one call, and each gets its rows", async (t) => {
    const remote = await startRemote(t);
    const { model, clock } = await loadLevel(t, remote.target, { config: DYNAMIC });
    const answers = [
      model.infer(ask([1, 2], { id: "a", parameters: new Map([["priority", int64(5n)]]) })),
      model.infer(ask([3, 4, 5, 6], { id: "b", parameters: new Map([["priority", int64(2n)]]) })),
      model.infer(ask([7, 8])),
    ];
    await clock.advance(1);
    const outputs = (await Promise.all(answers)).map((response) => floats(response.outputs[0]));
    assert.deepEqual(outputs, [
      [1, 2],
      [3, 4, 5, 6],
      [7, 8],
    ]);
    const [sent, ...more] = remote.model.requests;
    assert.equal(more.length, 0);
    assert.deepEqual(sent?.inputs[0]?.shape, [4, 2]);
    assert.equal(sent.id, "a,b");
    assert.deepEqual(sent.parameters.get("priority"), int64(2n));
  });

  it("may be large in both directions, many at a time", { timeout: 30_000 }, async (t) => {
    const remote = await startRemote(t);
    const config = { instance_group: [{ name: "m", count: 16 }] } as unknown as Partial<ModelConfig>;
    const { model } = await loadLevel(t, remote.target, { config });
    const values = new Float32Array(500_000).map((_, i) => i);
    const data = new Uint8Array(values.buffer);
    const input = { name: "INPUT0", datatype: "FP32", shape: [1, values.length], data } as const;
    const answers = await Promise.all(Array.from({ length: 48 }, () => model.infer(request({ inputs: [input] }))));
    for (const { outputs } of answers) assert.equal(Buffer.compare(outputs[0]?.data ?? Buffer.alloc(0), data), 0);
  });

  it("is answered before its model closes; later ones are refused", async (t) => {
    const remote = await startRemote(t);
    const { model } = await loadLevel(t, remote.target);
    remote.model.behaviour = { kind: "hold" };
    const answer = model.infer(ask([1, 2]));
    await until(() => remote.model.heldCount === 1);
    const closed = model.close();
    assert.equal((await failure(model.infer(ask([1, 2])))).code, "UNAVAILABLE");
    remote.model.release();
    assert.deepEqual(floats((await answer).outputs[0]), [1, 2]);
    await closed;
  });

  it("fails with the remote's code and text, which says whose they are", async (t) => {
    const remote = await startRemote(t);
    const { model } = await loadLevel(t, remote.target);
    remote.model.behaviour = { kind: "fail", error: new InferenceError("INVALID_ARGUMENT", "too long a text") };
    const error = await failure(model.infer(ask([1, 2])));
    assert.equal(error.code, "INVALID_ARGUMENT");
    assert.equal(error.message, `model 'm' on remote '${remote.target}': too long a text`);
    assert.equal(model.breakers[0]?.calls.neutral, 1);
  });

  it("is refused when the remote answers in another shape", async (t) => {
    const remote = await startRemote(t);
    const { model } = await loadLevel(t, remote.target);
    remote.model.infer = async (sent) => ({
      ...(await FakeModel.prototype.infer.call(remote.model, sent)),
      outputs: [fp32("OUTPUT0", [3, 2], [1, 2, 3, 4, 5, 6])],
    });
    const error = await failure(model.infer(ask([1, 2])));
    assert.equal(error.code, "INTERNAL");
    assert.match(error.message, /gave output 'OUTPUT0' with shape \[3,2\], expected \[1,-1\]/);
    assert.equal(model.breakers[0]?.calls.failure, 1);
  });
});

describe("deadline and cancellation", () => {
  it("a cancelled call is cancelled on the remote, and says nothing about its health", async (t) => {
    const remote = await startRemote(t);
    const { model } = await loadLevel(t, remote.target);
    remote.model.behaviour = { kind: "hold" };
    const cancellation = new Cancellation();
    const answer = failure(model.infer(ask([1, 2]), cancellation));
    await until(() => remote.model.heldCount === 1);
    cancellation.cancel(new InferenceError("CANCELLED", "the client left"));
    assert.equal((await answer).message, "the client left");
    await until(() => remote.model.cancelled.length === 1);
    assert.equal(remote.model.cancelled[0]?.code, "CANCELLED");
    await until(() => model.breakers[0]?.calls.neutral === 1);
  });

  it("a batch runs on while one of its callers waits", async (t) => {
    const remote = await startRemote(t);
    const { model, clock } = await loadLevel(t, remote.target, { config: DYNAMIC });
    remote.model.behaviour = { kind: "hold" };
    const leaves = new Cancellation();
    const gone = failure(model.infer(ask([1, 2]), leaves));
    const stays = model.infer(ask([3, 4]), new Cancellation());
    await clock.advance(1);
    await until(() => remote.model.heldCount === 1);
    leaves.cancel(new InferenceError("CANCELLED", "the client left"));
    await gone;
    remote.model.release();
    assert.deepEqual(floats((await stays).outputs[0]), [3, 4]);
    assert.equal(remote.model.cancelled.length, 0);
  });

  it("an expired call is not sent", async (t) => {
    const remote = await startRemote(t);
    const clock = new VirtualClock();
    const { model } = await loadLevelAt(t, remote.target, clock);
    await clock.advance(100);
    assert.equal((await failure(model.infer(ask([1, 2]), new Cancellation(100)))).code, "DEADLINE_EXCEEDED");
    assert.equal(remote.model.requests.length, 0);
    assert.deepEqual(model.breakers[0]?.calls, { success: 0, failure: 0, neutral: 0, refused: 0 });
  });

  it("ends at the caller's deadline or at the level's own limit, here and there", async (t) => {
    const remote = await startRemote(t);
    const { model, clock } = await loadLevel(t, remote.target, {
      parameters: { timeout_ms: "60", min_deadline_ms: "0" },
    });
    remote.model.behaviour = { kind: "hold" };
    await clock.advance(100);
    for (const cancellation of [new Cancellation(130), undefined]) {
      const error = await failure(model.infer(ask([1, 2]), cancellation));
      assert.equal(error.code, "DEADLINE_EXCEEDED");
    }
    // Which of its two messengers the remote hears first, its own timer or our reset, is chance.
    await until(() => remote.model.cancelled.length === 2);
    assert.equal(model.breakers[0]?.calls.failure, 2);
  });
});

describe("targets", () => {
  it("take turns; one that is down at load is left out and taken back by its probes", async (t) => {
    const [a, b] = [await startRemote(t), await startRemote(t)];
    const port = await freePort();
    const targets = `${a.target}, ${b.target}, 127.0.0.1:${port}`;
    const level = await loadLevel(t, targets);
    for (let i = 0; i < 4; i++) await level.model.infer(ask([i, i]));
    assert.deepEqual([a.model.requests.length, b.model.requests.length], [2, 2]);
    assert.deepEqual(states(level), [0, 0, 1]);
    const c = await startRemote(t, { grpc: { port } });
    await becomes(level, [0, 0, 0]);
    for (let i = 0; i < 3; i++) await level.model.infer(ask([i, i]));
    assert.equal(c.model.requests.length, 1);
  });

  it("that die are left out after twenty calls: refused at once, saying why, until they are back", async (t) => {
    const remote = await startRemote(t);
    const level = await loadLevel(t, remote.target);
    await level.model.infer(ask([1, 2]));
    await remote.server.server.drain(0);
    for (let i = 0; i < 19; i++) {
      const error = await failure(level.model.infer(ask([1, 2])));
      assert.equal(error.code, "UNAVAILABLE");
    }
    assert.deepEqual(states(level), [1]);
    const refused = await failure(level.model.infer(ask([1, 2])));
    assert.equal(refused.code, "UNAVAILABLE");
    assert.match(
      refused.message,
      /^model 'm' is not asked while its remote does not answer: '127\.0\.0\.1:\d+' \(.+\)\./,
    );
    assert.equal(level.model.breakers[0]?.calls.refused, 1);
    const warnings = level.log.lines.filter(({ level }) => level === "warn");
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]?.text ?? "", /^model 'm', remote '.+' is left out, so the model is not ready: /);
    assert.equal(level.model.isReady, false);
    const back = await startRemote(t, { grpc: { port: remote.server.server.port } });
    await becomes(level, [0]);
    await level.model.infer(ask([1, 2]));
    assert.equal(back.model.requests.length, 1);
    assert.equal(level.model.isReady, false);
    await level.clock.advance(10_000);
    assert.equal(level.model.isReady, true);
    const told = level.log.lines.slice(-2).map(({ text }) => text);
    assert.match(told.join(), /answers again and is asked more and more,model 'm' is ready again$/);
  });

  it("that die are left out for all models there, and a model that is loaded again goes on with that", async (t) => {
    const remote = await startRemote(t);
    const clock = new VirtualClock();
    const breakers = new SharedBreakers(clock);
    const one = await loadLevelAt(t, remote.target, clock, { breakers });
    const two = await loadLevelAt(t, `${remote.target},127.0.0.1:${await freePort()}`, clock, { breakers });
    const alone = await loadLevelAt(t, remote.target, clock);
    await remote.server.server.drain(0);
    for (let i = 0; i < 20; i++) await failure(one.model.infer(ask([1, 2])));
    assert.deepEqual([one, two, alone].map(states), [[1], [1, 1], [0]]);
    assert.deepEqual(
      [one, two, alone].map(({ model }) => model.isReady),
      [false, false, true],
    );
    assert.match((await failure(two.model.infer(ask([1, 2])))).message, /is not asked while its remote/);
    await startRemote(t, { grpc: { port: remote.server.server.port } });
    const again = await loadLevelAt(t, remote.target, clock, { breakers });
    assert.deepEqual([again, two].map(states), [[0], [0, 1]], "the load has seen that the server is back");
  });
});

function states({ model }: Level): number[] {
  return model.breakers.map(({ state }) => state);
}

/** Lets virtual time pass until the breakers are in these states. */
async function becomes(level: Level, wanted: readonly number[]): Promise<void> {
  for (let i = 0; i < 2_000 && String(states(level)) !== String(wanted); i++) {
    await level.clock.advance(100);
    await new Promise((resolve) => setTimeout(resolve, 1)); // the probe is a real call
  }
  assert.deepEqual(states(level), wanted);
}
