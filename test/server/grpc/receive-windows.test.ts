/** The private fields of grpc-js that the HTTP/2 settings need, and what a client sees of them. */
import assert from "node:assert/strict";
import { connect } from "node:http2";
import { test } from "node:test";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import {
  CONNECTION_WINDOW_BYTES,
  isHugeTimeout,
  STREAM_WINDOW_BYTES,
  setConnectionWindow,
  setStreamWindow,
} from "../../../server/grpc/receive-windows.ts";
import { FakeRepository } from "../support/fake-repository.ts";
import { TestServer, until } from "../support/test-server.ts";

test("the installed grpc-js still has the private fields", () => {
  const server = new Server();
  setStreamWindow(server);
  server.createConnectionInjector(ServerCredentials.createInsecure());
  setConnectionWindow(server);
  server.forceShutdown();
});

test("a grpc-js without the fields is an error that names the file", () => {
  const stranger = {} as Server;
  assert.throws(() => setStreamWindow(stranger), /commonServerOptions.*receive-windows/s);
  assert.throws(() => setConnectionWindow(stranger), /http2Servers.*receive-windows/s);
});

test("a client is offered both windows", async (t) => {
  const server = await TestServer.start(t, new FakeRepository());
  const session = connect(`http://127.0.0.1:${server.server.port}`);
  t.after(() => session.destroy());
  await until(() => session.remoteSettings?.initialWindowSize === STREAM_WINDOW_BYTES);
  await until(() => session.state.remoteWindowSize === CONNECTION_WINDOW_BYTES);
});

test("a deadline beyond 31 bits of milliseconds counts as none", async (t) => {
  assert.deepEqual(["597H", "596H", "35792M", "2147484S", "2147483S", "99999999m", "1u"].map(isHugeTimeout), [
    true,
    false,
    true,
    true,
    false,
    false,
    false,
  ]);
  const server = await TestServer.start(t, new FakeRepository());
  assert.deepEqual(await server.client.call("ServerLive", {}, { deadlineMs: 2 ** 32 }), { live: true });
});
