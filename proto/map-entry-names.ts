/**
 * Names of map entries in file descriptors. proto-loader's descriptors call the entry of a map field `model_states`
 * `Model_states`; protoc calls it `ModelStatesEntry`, and clients that check (Go's protobuf, so grpcurl) refuse any
 * other name.
 */
import type { AnyDefinition, EnumTypeDefinition, MessageTypeDefinition, PackageDefinition } from "@grpc/proto-loader";
import descriptor, { type IDescriptorProto, type IFileDescriptorProto } from "protobufjs/ext/descriptor.js";

/** The same definition with protoc's names of map entries in its file descriptors: what reflection should serve. */
export function withMapEntryNames(definition: PackageDefinition): PackageDefinition {
  const renamed = new Map<Buffer, Buffer>();
  const rename = (file: Buffer) => {
    const known = renamed.get(file) ?? renameInFile(file);
    renamed.set(file, known);
    return known;
  };
  return Object.fromEntries(
    Object.entries(definition).map(([name, entry]): [string, AnyDefinition] => {
      if (!isTypeDefinition(entry)) return [name, entry];
      return [name, { ...entry, fileDescriptorProtos: entry.fileDescriptorProtos.map(rename) }];
    }),
  );
}

/** Services carry no descriptors. */
function isTypeDefinition(entry: AnyDefinition): entry is MessageTypeDefinition<object, object> | EnumTypeDefinition {
  return Array.isArray(entry["fileDescriptorProtos"]);
}

function renameInFile(bytes: Buffer): Buffer {
  const file = descriptor.FileDescriptorProto.decode(bytes);
  for (const message of (file as IFileDescriptorProto).messageType ?? []) renameInMessage(message);
  return Buffer.from(descriptor.FileDescriptorProto.encode(file).finish());
}

function renameInMessage(message: IDescriptorProto): void {
  for (const nested of message.nestedType ?? []) {
    const field = message.field?.find((candidate) => candidate.typeName === nested.name);
    if (nested.options?.mapEntry === true && field?.name !== undefined) {
      nested.name = mapEntryName(field.name);
      field.typeName = nested.name;
    }
    renameInMessage(nested);
  }
}

/** `model_states` -> `ModelStatesEntry`. */
function mapEntryName(field: string): string {
  const words = field.split("_").map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return `${words.join("")}Entry`;
}
