/** ModelStreamInfer: order, errors inside the stream, half-close, cancellation, back-pressure, drain. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { InferenceError } from "../../../proto/errors.ts";
import { MAX_IN_FLIGHT } from "../../../server/grpc/model-stream-infer.ts";
import { FakeRepository } from "../support/fake-repository.ts";
import { fp32Request, type Message } from "../support/grpc-client.ts";
import { TestServer, until } from "../support/test-server.ts";

function idOf(answer: Message): string {
  return String((answer["infer_response"] as Message)["id"]);
}

function isFinal(answer: Message): boolean {
  const parameters = (answer["infer_response"] as Message)["parameters"] as Record<string, Message>;
  return parameters["triton_final_response"]?.["bool_param"] === true;
}

const OK = { code: status.OK, details: "" };

test("answers leave in the order of the requests, whichever is ready first, and half-close waits for them", async (t) => {
  const repository = new FakeRepository("a", "b");
  const server = await TestServer.start(t, repository);
  repository.model("a").behaviour = { kind: "hold" };
  const stream = server.client.stream();
  for (let i = 0; i < 20; i++) stream.send(fp32Request(i % 2 === 0 ? "a" : "b", [i], { id: `${i}` }));
  stream.halfClose();
  await until(() => repository.model("a").heldCount === 10 && repository.model("b").requests.length === 10);
  assert.equal(stream.answers.length, 0);
  repository.model("a").release("newest");
  const ended = await stream.ended;
  assert.equal(ended.code, OK.code);
  assert.deepEqual(
    stream.answers.map(idOf),
    Array.from({ length: 20 }, (_, i) => `${i}`),
  );
  assert.ok(stream.answers.every(isFinal));
  assert.ok(stream.answers.every((answer) => answer["error_message"] === ""));
});

test("a refused request answers its text and id only, and the stream goes on", async (t) => {
  const repository = new FakeRepository("a", "full");
  const server = await TestServer.start(t, repository);
  const full = new InferenceError("UNAVAILABLE", "[request id: 3] Exceeds maximum queue size");
  repository.model("full").behaviour = { kind: "fail", error: full };
  const stream = server.client.stream();
  stream.send(fp32Request("unknown", [1], { id: "1" }));
  stream.send(fp32Request("a", [1], { id: "2", parameters: { timeout: { bool_param: true } } }));
  stream.send(fp32Request("full", [1], { id: "3" }));
  stream.send(fp32Request("a", [1], { id: "4" }));
  const [unknown, parameter, refused, good] = await stream.received(4);
  assert.equal(unknown?.["error_message"], "Request for unknown model: 'unknown' is not found");
  assert.deepEqual(unknown?.["infer_response"], {
    model_name: "",
    model_version: "",
    id: "1",
    parameters: {},
    outputs: [],
    raw_output_contents: [],
  });
  assert.match(String(parameter?.["error_message"]), /timeout/);
  assert.equal(refused?.["error_message"], "[request id: 3] Exceeds maximum queue size");
  assert.deepEqual(refused?.["infer_response"], { ...(unknown?.["infer_response"] as Message), id: "3" });
  assert.equal(good?.["error_message"], "");
  stream.halfClose();
  assert.equal((await stream.ended).code, status.OK);
});

test("a failed execution answers the model as asked for and the final mark", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  repository.model("a").behaviour = { kind: "fail", error: new InferenceError("INTERNAL", "onnx runtime error 6: no") };
  const stream = server.client.stream();
  stream.send(fp32Request("a", [1], { id: "1" }));
  const [answer] = await stream.received(1);
  assert.equal(answer?.["error_message"], "onnx runtime error 6: no");
  const response = answer?.["infer_response"] as Message;
  assert.equal(response["model_name"], "a");
  assert.equal(response["model_version"], "");
  assert.ok(isFinal(answer ?? {}));
});

test("with triton_grpc_error the first failed execution ends the stream with its status", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  const stream = server.client.stream({ headers: { triton_grpc_error: "true" } });
  stream.send(fp32Request("unknown", [1], { id: "1" }));
  await stream.received(1);
  repository.model("a").behaviour = { kind: "fail", error: new InferenceError("INTERNAL", "broken") };
  stream.send(fp32Request("a", [1], { id: "2" }));
  assert.deepEqual(await stream.ended, { code: status.INTERNAL, details: "broken" });
  assert.equal(stream.answers.length, 1);
});

test("a message that cannot be decoded is an error answer, not the end of the stream", async (t) => {
  const server = await TestServer.start(t, new FakeRepository("a"));
  const stream = server.client.stream();
  stream.send(fp32Request("x".repeat(300), [1]));
  stream.send(fp32Request("a", [1], { id: "2" }));
  const [bad, good] = await stream.received(2);
  assert.notEqual(bad?.["error_message"], "");
  assert.equal(idOf(good ?? {}), "2");
});

test("cancelling the call cancels every request in hand", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  const model = repository.model("a");
  model.behaviour = { kind: "hold" };
  const stream = server.client.stream();
  for (let i = 0; i < 5; i++) stream.send(fp32Request("a", [i]));
  await until(() => model.heldCount === 5);
  stream.cancel();
  await until(() => model.cancelled.length === 5);
  assert.ok(model.cancelled.every(({ code }) => code === "CANCELLED"));
});

test("at most MAX_IN_FLIGHT requests of a stream are in hand; the others follow", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  const model = repository.model("a");
  model.behaviour = { kind: "hold" };
  const stream = server.client.stream();
  const total = MAX_IN_FLIGHT * 2;
  for (let i = 0; i < total; i++) stream.send(fp32Request("a", [i], { id: `${i}` }));
  stream.halfClose();
  await until(() => model.heldCount === MAX_IN_FLIGHT);
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(model.requests.length, MAX_IN_FLIGHT);
  model.behaviour = { kind: "echo" };
  model.release();
  await stream.ended;
  assert.deepEqual(
    stream.answers.map(idOf),
    Array.from({ length: total }, (_, i) => `${i}`),
  );
});

test("a client that does not read holds up its own stream only", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  const stream = server.client.stream();
  stream.setReading(false);
  const values = Array.from({ length: 65_536 }, () => 1);
  const total = MAX_IN_FLIGHT + 100;
  for (let i = 0; i < total; i++) stream.send(fp32Request("a", values, { id: `${i}` }));
  stream.halfClose();
  await until(() => repository.model("a").requests.length >= MAX_IN_FLIGHT);
  assert.ok(repository.model("a").requests.length < total, "reading stopped before everything was taken");
  await server.client.call("ModelInfer", fp32Request("a", [1]));
  stream.setReading(true);
  assert.equal((await stream.ended).code, status.OK);
  assert.equal(stream.answers.length, total);
});

test("a stopping server sends the answers in hand and ends the stream with UNAVAILABLE", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  const model = repository.model("a");
  const stream = server.client.stream();
  model.behaviour = { kind: "hold" };
  stream.send(fp32Request("a", [1], { id: "1" }));
  await until(() => model.heldCount === 1);
  const drained = server.server.drain(10_000);
  stream.send(fp32Request("a", [2], { id: "2" }));
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(model.requests.length, 1, "no new request is taken");
  model.release();
  assert.deepEqual(await stream.ended, {
    code: status.UNAVAILABLE,
    details: "GRPC server is shutting down and has stopped accepting new requests.",
  });
  assert.deepEqual(stream.answers.map(idOf), ["1"]);
  await drained;
});
