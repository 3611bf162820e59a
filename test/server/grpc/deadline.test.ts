/** A call's deadline goes with its request: to the model here, and from there to a model on another server. */
import assert from "node:assert/strict";
import { it, type TestContext } from "node:test";
import type { InferenceRequest } from "../../../proto/inference.ts";
import type { Cancellation } from "../../../scheduler/cancellation.ts";
import { SystemClock } from "../../../scheduler/clock.ts";
import type { Model, ModelResponse } from "../../../scheduler/model.ts";
import { loadLevelAt, startRemote } from "../../model-repo/support/remote-level.ts";
import { FakeModel, FakeRepository } from "../support/fake-repository.ts";
import { fp32Request } from "../support/grpc-client.ts";
import { TestServer } from "../support/test-server.ts";

/** Notes the time that is left on the models' clock; `next` answers, where there is one. */
class DeadlineModel extends FakeModel {
  readonly leftMs: number[] = [];
  readonly #next: Model | undefined;

  constructor(name: string, next?: Model) {
    super(name);
    this.#next = next;
  }

  override infer(request: InferenceRequest, cancellation?: Cancellation): Promise<ModelResponse> {
    this.leftMs.push((cancellation?.deadlineMs ?? Number.NaN) - new SystemClock().now());
    return this.#next?.infer(request, cancellation) ?? super.infer(request, cancellation);
  }
}

async function serve(t: TestContext, model: DeadlineModel): Promise<TestServer> {
  const repository = new FakeRepository();
  repository.models.set(model.signature.name, model);
  return TestServer.start(t, repository);
}

function assertNear(leftMs: number | undefined, expectedMs: number): void {
  assert.ok(leftMs !== undefined && leftMs > expectedMs - 5_000 && leftMs <= expectedMs + 50, `${leftMs}`);
}

it("of ModelInfer and of every request of a stream; Infinity where the caller has none", async (t) => {
  const model = new DeadlineModel("m");
  const { client } = await serve(t, model);
  await client.call("ModelInfer", fp32Request("m", [1]), { deadlineMs: 30_000 });
  await client.call("ModelInfer", fp32Request("m", [1]));
  const stream = client.stream({ deadlineMs: 60_000 });
  stream.send(fp32Request("m", [1]));
  await stream.received(1);
  stream.halfClose();
  const [unary, none, streamed] = model.leftMs;
  assertNear(unary, 30_000);
  assert.equal(none, Number.POSITIVE_INFINITY);
  assertNear(streamed, 60_000);
});

it("as grpc-timeout to a remote level, at most the level's own limit", async (t) => {
  const remote = await startRemote(t);
  const there = new DeadlineModel("giant", remote.model);
  const far = await serve(t, there);
  const { model } = await loadLevelAt(t, `127.0.0.1:${far.server.port}`, new SystemClock(), {
    parameters: { timeout_ms: "40000" },
  });
  const { client } = await serve(t, new DeadlineModel("m", model));
  await client.call("ModelInfer", fp32Request("m", [1]), { deadlineMs: 20_000 });
  await client.call("ModelInfer", fp32Request("m", [1]));
  assertNear(there.leftMs[0], 20_000);
  assertNear(there.leftMs[1], 40_000);
});
