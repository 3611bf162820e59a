/** Server reflection: what grpcurl and ghz ask before their first call. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { credentials, loadPackageDefinition, type ServiceClientConstructor } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import { FakeRepository } from "../support/fake-repository.ts";
import { TestServer } from "../support/test-server.ts";

/** The part of grpc.reflection.v1 that lists services. */
const REFLECTION: Parameters<typeof fromJSON>[0] = {
  nested: {
    grpc: {
      nested: {
        reflection: {
          nested: {
            v1: {
              nested: {
                Request: { fields: { list_services: { type: "string", id: 7 } } },
                Service: { fields: { name: { type: "string", id: 1 } } },
                List: { fields: { service: { rule: "repeated", type: "Service", id: 1 } } },
                Response: { fields: { list_services_response: { type: "List", id: 6 } } },
                ServerReflection: {
                  methods: {
                    ServerReflectionInfo: {
                      comment: "",
                      requestType: "Request",
                      requestStream: true,
                      responseType: "Response",
                      responseStream: true,
                    },
                  },
                },
              },
            },
          },
        },
      },
    },
  },
};

test("reflection lists our services", async (t) => {
  const server = await TestServer.start(t, new FakeRepository());
  const definition = fromJSON(REFLECTION, { keepCase: true });
  const { grpc } = loadPackageDefinition(definition) as unknown as {
    grpc: { reflection: { v1: { ServerReflection: ServiceClientConstructor } } };
  };
  const client = new grpc.reflection.v1.ServerReflection(
    `127.0.0.1:${server.server.port}`,
    credentials.createInsecure(),
  );
  t.after(() => client.close());
  const names = await new Promise<string[]>((resolve, reject) => {
    const call = client["ServerReflectionInfo"]?.();
    call.on("error", reject);
    call.on("data", (answer: { list_services_response: { service: { name: string }[] } }) => {
      resolve(answer.list_services_response.service.map(({ name }) => name));
      call.end();
    });
    call.write({ list_services: "*" });
  });
  assert.ok(names.includes("inference.GRPCInferenceService"), names.join());
  assert.ok(names.includes("grpc.health.v1.Health"), names.join());
});
