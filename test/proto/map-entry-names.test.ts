/** File descriptors as reflection serves them: map entries are named as protoc names them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import descriptor, { type IDescriptorProto, type IFileDescriptorProto } from "protobufjs/ext/descriptor.js";
import { loadServices } from "../../proto/load.ts";
import { withMapEntryNames } from "../../proto/map-entry-names.ts";

/** `Message.Nested` names of every map entry, with the field that uses it. */
function mapEntries(messages: readonly IDescriptorProto[], path = ""): string[] {
  return messages.flatMap((message) => {
    const own = `${path}${message.name}`;
    const nested = message.nestedType ?? [];
    const entries = nested.filter((each) => each.options?.mapEntry === true);
    const used = entries.map((entry) => {
      const field = message.field?.find((each) => each.typeName === entry.name);
      return `${own}.${entry.name} for ${field?.name}`;
    });
    return [...used, ...mapEntries(nested, `${own}.`)];
  });
}

test("map entries carry protoc's names, which Go clients insist on", () => {
  const { packageDefinition } = loadServices();
  const files = new Set(
    Object.values(withMapEntryNames(packageDefinition)).flatMap((entry) => {
      const protos = entry["fileDescriptorProtos"];
      return Array.isArray(protos) ? (protos as Buffer[]) : [];
    }),
  );
  const names = [...files].flatMap((file) => {
    const { messageType } = descriptor.FileDescriptorProto.decode(file) as IFileDescriptorProto;
    return mapEntries(messageType ?? []);
  });
  assert.ok(names.includes("ModelInferRequest.ParametersEntry for parameters"));
  assert.ok(names.includes("ModelInferRequest.InferInputTensor.ParametersEntry for parameters"));
  assert.ok(names.includes("ModelStatistics.ResponseStatsEntry for response_stats"));
  assert.ok(names.includes("HealthListResponse.StatusesEntry for statuses"));
  for (const name of names) assert.match(name, /^[\w.]+Entry for \w+$/);
  assert.ok(names.length >= 15, names.join());
});
