import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";
import { loadDescriptors, loadServices } from "../../proto/load.ts";

/** The protocol's field table, as printed from its published descriptors. */
function loadFieldTable(): protobuf.Root {
  const root = new protobuf.Root();
  const files = ["grpc_service.proto", "health.proto"];
  root.loadSync(
    files.map((file) => fileURLToPath(new URL(`../data/proto-fields/${file}`, import.meta.url))),
    { keepCase: true },
  );
  root.resolveAll();
  return root;
}

/** One line per message, field, oneof, enum value, service and method, sorted. */
function table(object: protobuf.ReflectionObject): string[] {
  const name = object.fullName;
  if (object instanceof protobuf.Enum) {
    return Object.entries(object.values).map(([value, number]) => `enum ${name} ${value} = ${number}`);
  }
  if (object instanceof protobuf.Service) {
    return object.methodsArray.map((method) => {
      const request = `${method.requestStream ? "stream " : ""}${method.resolvedRequestType?.fullName}`;
      const response = `${method.responseStream ? "stream " : ""}${method.resolvedResponseType?.fullName}`;
      return `rpc ${name}/${method.name} ${request} -> ${response}`;
    });
  }
  const lines = object instanceof protobuf.Type ? [`message ${name}`, ...object.fieldsArray.map(fieldLine)] : [];
  if (object instanceof protobuf.Namespace) for (const nested of object.nestedArray) lines.push(...table(nested));
  return lines.sort();
}

function fieldLine(field: protobuf.Field): string {
  const type = field.resolvedType?.fullName ?? field.type;
  const kind = field instanceof protobuf.MapField ? `map<${field.keyType}, ${type}>` : type;
  const label = field.repeated ? "repeated" : field.required ? "required" : "singular";
  return `field ${field.parent?.fullName} ${field.name} = ${field.id} ${label} ${kind} oneof ${field.partOf?.name ?? "-"}`;
}

describe("the .proto files", () => {
  const expected = table(loadFieldTable());

  it("declare every message, field, enum and method of the protocol, and no other", () => {
    assert.equal(expected.filter((line) => line.startsWith("rpc .inference.")).length, 20);
    assert.ok(expected.filter((line) => line.startsWith("message .inference.")).length >= 69);
    assert.deepEqual(table(loadDescriptors()), expected);
  });

  it("give grpc-js the same methods", () => {
    const { inference, health } = loadServices();
    const methods = [...Object.values(inference), ...Object.values(health)].map(
      (method) => `${method.path} ${method.requestStream} ${method.responseStream}`,
    );
    const lines = expected
      .filter((line) => line.startsWith("rpc "))
      .map((line) => {
        const [, name = "", ...types] = line.split(" ");
        const [request = "", response = ""] = types.join(" ").split(" -> ");
        return `${name.replace(".", "/")} ${request.startsWith("stream ")} ${response.startsWith("stream ")}`;
      });
    assert.deepEqual(methods.sort(), lines.sort());
  });

  it("give grpc-js messages in snake_case with 64-bit integers and enums as strings", () => {
    const { inference } = loadServices();
    const method = inference["ModelConfig"];
    assert.ok(method);
    const encoded = method.responseSerialize({
      config: {
        name: "m",
        version_policy: { specific: { versions: ["9007199254740993"] } },
        input: [{ data_type: 13 }],
      },
    });
    const { config } = method.responseDeserialize(encoded) as { config: Record<string, unknown> };
    assert.deepEqual(config["version_policy"], {
      specific: { versions: ["9007199254740993"] },
      policy_choice: "specific",
    });
    assert.equal((config["input"] as { data_type: string }[])[0]?.data_type, "TYPE_STRING");
  });
});
