/** Targets of remote models with endpoints in memory, in virtual time: who is left out, for whom, and how it comes back. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { status } from "@grpc/grpc-js";
import { SharedBreakers } from "../../../model-repo/backends/breaker-registry.ts";
import { RemoteCallError } from "../../../model-repo/backends/kserve-error.ts";
import { READY_AFTER_MS } from "../../../model-repo/backends/kserve-readiness.ts";
import { KserveRemote, type RemoteChange } from "../../../model-repo/backends/kserve-remote.ts";
import { KserveTarget, type KserveTargetOptions } from "../../../model-repo/backends/kserve-target.ts";
import { InferenceError } from "../../../proto/errors.ts";
import { VirtualClock } from "../../../scheduler/clock.ts";

/** ModelInferResponse without any field: all defaults. */
const EMPTY_ANSWER = Buffer.alloc(0);

/** Answers until told otherwise. */
class FakeEndpoint {
  readonly target: string;
  /** What calls fail with; undefined: they succeed. */
  failure: RemoteCallError | undefined;
  /** What checks of the server fail with, besides. */
  serverFailure: RemoteCallError | undefined;
  /** What checks of the model alone fail with. */
  modelFailure: RemoteCallError | undefined;
  calls = 0;

  constructor(target = "gpu:8001") {
    this.target = target;
  }

  async infer(): Promise<Buffer> {
    this.calls++;
    if (this.failure !== undefined) throw this.failure;
    return EMPTY_ANSWER;
  }

  async checkServerReady(): Promise<void> {
    if (this.failure?.status === status.UNAVAILABLE) throw this.failure;
    if (this.serverFailure !== undefined) throw this.serverFailure;
  }

  async checkModelReady(): Promise<void> {
    if (this.modelFailure !== undefined) throw this.modelFailure;
  }

  close(): void {
    // Holds nothing.
  }
}

const down = (text = "no connection") => new RemoteCallError(status.UNAVAILABLE, text);

function setUp(t: TestContext) {
  const clock = new VirtualClock();
  const breakers = new SharedBreakers(clock);
  const target = (model: string, endpoint = new FakeEndpoint(), connection = "plain") => {
    const all = { model, endpoint, breakers, connection, clock, onChange: () => undefined };
    const made = new KserveTarget(all satisfies KserveTargetOptions);
    t.after(() => made.close());
    return made;
  };
  const remote = (model: string, endpoints: readonly FakeEndpoint[]) => {
    const changes: RemoteChange[] = [];
    const settings = { timeoutMs: 60_000, minDeadlineMs: 100 };
    const onChange = (change: RemoteChange) => void changes.push(change);
    const made = new KserveRemote({ model, endpoints, settings, breakers, connection: "plain", clock, onChange });
    t.after(() => made.close());
    const ask = () => made.infer(Buffer.alloc(0), undefined, () => "answer").catch(InferenceError.from);
    return { remote: made, changes, ask };
  };
  return { clock, breakers, target, remote };
}

async function fail(target: KserveTarget, count: number, isUnanswered: boolean): Promise<void> {
  for (let i = 0; i < count; i++) target.record({ startedMs: 0, outcome: "failure", reason: "broken", isUnanswered });
  await new Promise((resolve) => setImmediate(resolve));
}

describe("a target", () => {
  it("that does not answer is left out for every model that reaches it alike", async (t) => {
    const { target } = setUp(t);
    const [a, b, overTls, other] = [
      target("a"),
      target("b"),
      target("c", new FakeEndpoint(), "tls"),
      target("d", new FakeEndpoint("gpu:8002")),
    ];
    await fail(a, 10, true);
    await fail(b, 10, true);
    assert.deepEqual(
      [a, b, overTls, other].map((each) => each.admits()),
      [false, false, true, true],
    );
    assert.equal(b.reason, "broken");
  });

  it("whose answers are errors or cannot be used is left out for that model alone", async (t) => {
    const { target } = setUp(t);
    const [a, b] = [target("a"), target("b")];
    await fail(a, 100, false);
    assert.deepEqual([a.state, a.admits(), b.state, b.admits()], [1, false, 0, true]);
  });

  it("is not left out for what is wrong with requests, or missing there", async (t) => {
    const { remote } = setUp(t);
    const endpoint = new FakeEndpoint();
    const { remote: made, ask } = remote("a", [endpoint]);
    for (const code of [status.NOT_FOUND, status.INVALID_ARGUMENT, status.RESOURCE_EXHAUSTED, status.UNIMPLEMENTED]) {
      endpoint.failure = new RemoteCallError(code, "not so");
      for (let i = 0; i < 100; i++) await ask();
    }
    const calls = { success: 0, failure: 0, neutral: 400, refused: 0 };
    assert.deepEqual(made.breakers, [{ endpoint: "gpu:8001", model: "a", state: 0, transitions: 0, calls }]);
  });

  it("with a model that is gone keeps that model out while the others come back", async (t) => {
    const { clock, target } = setUp(t);
    const gone = new FakeEndpoint();
    gone.modelFailure = down("its model 'a' is not ready");
    const [a, b] = [target("a", gone), target("b")];
    await fail(a, 20, true); // Triton says UNAVAILABLE for a model that is unloaded
    assert.deepEqual([a.state, b.state], [1, 1]);
    await clock.advance(5_000);
    assert.deepEqual([a.state, b.state], [1, 0]);
    assert.match(a.reason, /its model 'a' is not ready/);
    gone.modelFailure = undefined;
    await clock.advance(40_000);
    assert.deepEqual([a.state, b.state], [0, 0]);
  });

  it("that is found down by the probe of one model is left out for all; one that only says so is not", async (t) => {
    const { clock, target } = setUp(t);
    const [unreached, unready] = [new FakeEndpoint(), new FakeEndpoint("gpu:8002")];
    const [a, b] = [target("a", unreached), target("b", unreached)];
    const [c, d] = [target("c", unready), target("d", unready)];
    // The others' successes are more than the failures of one, who asks no more once it is left out.
    for (let i = 0; i < 200; i++) {
      for (const each of [b, d]) each.record({ startedMs: 0, outcome: "success", reason: "", isUnanswered: false });
    }
    for (const each of [a, c]) await fail(each, 20, true);
    unreached.failure = down();
    unready.serverFailure = new RemoteCallError(status.FAILED_PRECONDITION, "the server is not ready");
    assert.deepEqual(
      [a, b, c, d].map(({ state }) => state),
      [1, 0, 1, 0],
    );
    await clock.advance(1_100);
    assert.deepEqual(
      [a, b, c, d].map(({ state }) => state),
      [1, 1, 1, 0],
    );
  });

  it("comes back by the smaller share of its two breakers, counted for each model", async (t) => {
    const { clock, target } = setUp(t);
    const [a, b] = [target("a"), target("b")];
    await fail(a, 20, true);
    while (a.state !== 0 || b.state !== 0) await clock.advance(10);
    for (const each of [a, b]) {
      const admitted = Array.from({ length: 10 }, () => each.admits()).filter(Boolean);
      assert.ok(admitted.length <= 2 && each.share < 0.2, `${admitted.length} at ${each.share}`);
    }
    await clock.advance(5_000);
    assert.deepEqual([a.share, b.share], [1, 1]);
  });

  it("that was down at load is left out for the new model; one that answered is back for all", async (t) => {
    const { clock, target, remote } = setUp(t);
    const old = target("old");
    await fail(old, 20, true);
    const { remote: fresh, changes } = remote("new", [new FakeEndpoint(), new FakeEndpoint("gpu:8002")]);
    fresh.begin(new Map([["gpu:8002", "refused"]]));
    assert.equal(fresh.isReady, true);
    assert.deepEqual(
      fresh.breakers.map(({ state }) => state),
      [0, 1],
    );
    assert.deepEqual(changes, [{ kind: "left out", target: "gpu:8002", reason: "refused", isReady: true }]);
    assert.equal(target("other", new FakeEndpoint("gpu:8002")).state, 0);
    await clock.advance(2_500);
    assert.equal(old.state, 0);
  });
});

describe("a remote that comes back", () => {
  it("refuses what is over its share with UNAVAILABLE, saying why, and counts it", async (t) => {
    const { clock, remote } = setUp(t);
    const endpoint = new FakeEndpoint();
    const { remote: made, ask } = remote("a", [endpoint]);
    endpoint.failure = down();
    for (let i = 0; i < 20; i++) await ask();
    const refused = await ask();
    assert.ok(refused instanceof InferenceError);
    assert.match(refused.message, /^model 'a' is not asked while its remote does not answer: 'gpu:8001' \(.+\)\./);
    endpoint.failure = undefined;
    endpoint.calls = 0;
    while (made.breakers[0]?.state !== 0) await clock.advance(10);
    const before = made.breakers[0].calls.refused;
    const answers: unknown[] = [];
    for (let i = 0; i < 100; i++) answers.push(await ask());
    const goes = answers.filter((answer) => answer === "answer").length;
    assert.ok(goes >= 10 && goes <= 12, `${goes} of 100`);
    assert.equal(endpoint.calls, goes);
    assert.equal(made.breakers[0].calls.refused - before, 100 - goes);
    const [text] = answers.filter((answer) => answer instanceof InferenceError);
    assert.equal(text?.code, "UNAVAILABLE");
    assert.match(
      text.message,
      /only a part .* comes back: 'gpu:8001' \(takes 1\d % of the calls for now\)\. Try again/,
    );
    await clock.advance(5_000);
    for (let i = 0; i < 20; i++) assert.equal(await ask(), "answer");
  });

  it("takes its share, and the other targets the rest", async (t) => {
    const { clock, remote } = setUp(t);
    const [a, b] = [new FakeEndpoint("a:1"), new FakeEndpoint("b:1")];
    const { remote: made, changes, ask } = remote("m", [a, b]);
    a.failure = down();
    for (let i = 0; i < 40; i++) await ask();
    assert.equal(made.isReady, true);
    a.failure = undefined;
    while (made.breakers[0]?.state !== 0) await clock.advance(10);
    [a.calls, b.calls] = [0, 0];
    for (let i = 0; i < 200; i++) assert.equal(await ask(), "answer");
    assert.ok(a.calls >= 10 && a.calls <= 30, `${a.calls} of 200 at the target that comes back`);
    assert.deepEqual(
      changes.map(({ kind }) => kind),
      ["left out", "taken back"],
    );
  });

  it("is ready again after a whole window; one that only flaps is not, and each change is told once", async (t) => {
    const { clock, remote } = setUp(t);
    const endpoint = new FakeEndpoint();
    const { remote: made, changes, ask } = remote("a", [endpoint]);
    const broken = new RemoteCallError(status.INTERNAL, "out of memory"); // ready by its own word, fails every call
    endpoint.failure = broken;
    const readyAt: boolean[] = [];
    for (let second = 0; second < 60; second++) {
      for (let i = 0; i < 100; i++) {
        await ask();
        await clock.advance(10);
      }
      readyAt.push(made.isReady);
    }
    assert.deepEqual(new Set(readyAt), new Set([false]));
    const kinds = changes.map(({ kind }) => kind);
    assert.ok(kinds.length > 4, "it opened again and again");
    assert.deepEqual(
      kinds,
      kinds.map((_, i) => (i % 2 === 0 ? "left out" : "taken back")),
    );
    assert.ok(changes.every((change) => change.kind !== "left out" || !change.isReady));
    const state = () => made.breakers[0]?.state;
    while (state() === 0) await ask();
    endpoint.failure = undefined;
    while (state() !== 0) await clock.advance(10);
    const backMs = clock.now();
    while (!made.isReady) await clock.advance(10);
    assert.ok(clock.now() - backMs >= READY_AFTER_MS - 10 && clock.now() - backMs <= READY_AFTER_MS + 10);
    assert.deepEqual(changes.at(-1), { kind: "ready again" });
  });
});
