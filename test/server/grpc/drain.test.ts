/** How the gRPC server ends: calls in hand are answered, what lasts too long is cut. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { FakeRepository } from "../support/fake-repository.ts";
import { fp32Request, TestClient } from "../support/grpc-client.ts";
import { TestServer, until } from "../support/test-server.ts";

test("calls in hand are answered, new connections refused", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  const model = repository.model("a");
  model.behaviour = { kind: "hold" };
  const calls = [1, 2, 3].map((n) => server.client.call("ModelInfer", fp32Request("a", [n], { id: `${n}` })));
  await until(() => model.heldCount === 3);
  const drained = server.server.drain(10_000);
  const late = new TestClient(server.server.port);
  const { code } = await late.failure("ModelInfer", fp32Request("a", [4]));
  late.close();
  assert.equal(code, status.UNAVAILABLE);
  model.release();
  const answers = await Promise.all(calls);
  assert.deepEqual(
    answers.map((answer) => answer["id"]),
    ["1", "2", "3"],
  );
  await drained;
  assert.equal(model.cancelled.length, 0);
});

test("what is still running after the grace is cancelled and the connection cut", async (t) => {
  const repository = new FakeRepository("a");
  const server = await TestServer.start(t, repository);
  const model = repository.model("a");
  model.behaviour = { kind: "hold" };
  const call = server.client.start("ModelInfer", fp32Request("a", [1]));
  await until(() => model.heldCount === 1);
  await server.server.drain(0);
  await assert.rejects(call.answer);
  await until(() => model.cancelled.length === 1);
});

test("draining twice is draining once", async (t) => {
  const server = await TestServer.start(t, new FakeRepository());
  await Promise.all([server.server.drain(0), server.server.drain(0)]);
});

test("a connection that never speaks does not hold up the end", async (t) => {
  const server = await TestServer.start(t, new FakeRepository());
  const socket = connect(server.server.port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.resume();
  const ended = new Promise((resolve) => socket.once("close", resolve));
  await new Promise((resolve) => socket.once("connect", resolve));
  await server.client.call("ServerLive");
  await server.server.drain(0);
  await ended;
});
