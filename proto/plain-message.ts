/** Parsed messages as plain objects, the form in which configurations travel. */
import type protobuf from "protobufjs";

/**
 * Fields in the names of the .proto file with every scalar, list and map filled in; messages only where they were
 * given. Enums are names; 64-bit integers are numbers (beyond 2^53 rounded, which only "for ever" values are).
 */
export type PlainMessage = Readonly<Record<string, unknown>>;

export function toPlainMessage(type: protobuf.Type, message: protobuf.Message): PlainMessage {
  const plain = type.toObject(message, { defaults: true, enums: String, longs: Number });
  return withoutNulls(plain) as PlainMessage;
}

/** protobufjs writes null for messages that were not given. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(kept.map(([key, member]) => [key, withoutNulls(member)]));
}
