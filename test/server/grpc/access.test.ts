/** Restricted protocols: every method has a class, and a restricted class needs the one right header. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Server, status } from "@grpc/grpc-js";
import { protocolOf } from "../../../server/grpc/access.ts";
import { InferStreams } from "../../../server/grpc/model-stream-infer.ts";
import { ServiceRegistry } from "../../../server/grpc/service-registry.ts";
import { addServices } from "../../../server/grpc/services.ts";
import { PROTOCOLS, parseRestrictions } from "../../../server/options/restriction.ts";
import { FakeRepository } from "../support/fake-repository.ts";
import { fp32Request } from "../support/grpc-client.ts";
import { MemoryLog, TestServer } from "../support/test-server.ts";

const ALL = parseRestrictions("grpc-restricted-protocol", [`${PROTOCOLS.join(",")}:Admin-Key=s3cret`]);
const TEXT = "This protocol is restricted, expecting header 'triton-grpc-protocol-admin-key'";

/** Every method of every service that the server registers. */
function registeredPaths(): string[] {
  const server = new Server();
  const registry = new ServiceRegistry(server, new Map());
  const health = { isLive: () => true, isReady: () => true };
  const repository = new FakeRepository();
  const log = new MemoryLog();
  const streams = new InferStreams(repository, () => {
    throw new Error("unused");
  });
  addServices(registry, { id: "triton", repository, health, allowClientSharedMemory: false, log }, streams);
  server.forceShutdown();
  return registry.paths;
}

test("every registered method has a class; one without cannot be registered", () => {
  const paths = registeredPaths();
  assert.equal(paths.length, 25, "20 inference, 3 health and 2 reflection methods");
  for (const path of paths) assert.ok(PROTOCOLS.includes(protocolOf(path)), path);
  const registry = new ServiceRegistry(new Server(), new Map());
  const method = {
    path: "/x.Y/Z",
    requestStream: false,
    responseStream: false,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: () => null,
    responseSerialize: () => Buffer.alloc(0),
    responseDeserialize: () => null,
  };
  assert.throws(() => registry.addService({ Z: method }, { Z: () => undefined }), /has no class/);
});

test("every restricted method refuses no key, a wrong key, a wrong case and a doubled header", async (t) => {
  const server = await TestServer.start(t, new FakeRepository("a"), { grpc: { restrictions: ALL } });
  const name = "triton-grpc-protocol-admin-key";
  const wrong = [{}, { [name]: "" }, { [name]: "s3cre" }, { [name]: "S3CRET" }, { [name]: "s3cret, s3cret" }];
  const methods = registeredPaths()
    .filter((path) => !/Stream|Reflection|Health\/(List|Watch)/.test(path))
    .map((path) => path.slice(path.lastIndexOf("/") + 1));
  assert.equal(methods.length, 20);
  for (const method of methods) {
    for (const headers of wrong) {
      assert.deepEqual(await server.failure(method, {}, { headers }), [status.UNAVAILABLE, TEXT], method);
    }
  }
  const stream = server.client.stream();
  assert.deepEqual(await stream.ended, { code: status.UNAVAILABLE, details: TEXT });
});

test("the right header opens unary calls and streams", async (t) => {
  const server = await TestServer.start(t, new FakeRepository("a"), { grpc: { restrictions: ALL } });
  const headers = { "triton-grpc-protocol-admin-key": "s3cret" };
  assert.deepEqual(await server.client.call("ServerLive", {}, { headers }), { live: true });
  await server.client.call("ModelInfer", fp32Request("a", [1]), { headers });
  const stream = server.client.stream({ headers });
  stream.send(fp32Request("a", [1]));
  await stream.received(1);
  stream.halfClose();
  assert.equal((await stream.ended).code, status.OK);
});

test("classes that are not restricted stay open", async (t) => {
  const restrictions = parseRestrictions("grpc-restricted-protocol", ["model-repository:k=v"]);
  const server = await TestServer.start(t, new FakeRepository("a"), { grpc: { restrictions } });
  await server.client.call("ModelInfer", fp32Request("a", [1]));
  assert.deepEqual(await server.failure("RepositoryModelLoad", { model_name: "a" }), [
    status.UNAVAILABLE,
    "This protocol is restricted, expecting header 'triton-grpc-protocol-k'",
  ]);
});
