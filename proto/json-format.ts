/** Reads messages from proto JSON, as the `config` parameter of a load request carries them. */
import protobuf from "protobufjs";
import protoJson from "protobufjs/ext/protojson.js";
import { InferenceError } from "./errors.ts";
import { type PlainMessage, toPlainMessage } from "./plain-message.ts";

/**
 * Parses JSON as Triton does: names of enum values in any case, unknown fields refused. Throws INVALID_ARGUMENT;
 * `subject` is what the text is, as in `Invalid config override`.
 */
export function parseJsonProto(type: protobuf.Type, json: string, subject: string): PlainMessage {
  try {
    const value: unknown = JSON.parse(json);
    return toPlainMessage(type, protoJson.fromJson(type, withEnumCase(type, value, 0)));
  } catch (error) {
    const detail = (error instanceof Error ? error.message : String(error)).replace(/^\.?inference\./, "");
    throw new InferenceError("INVALID_ARGUMENT", `${subject}: ${detail}`, { cause: error });
  }
}

/** As deep as protobufjs parses; what lies deeper it refuses itself. */
const MAX_DEPTH = 100;

/** The same value with the names of enum values spelt as in the .proto file. */
function withEnumCase(type: protobuf.Type, value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value) || depth > MAX_DEPTH) return value;
  const fields = new Map(
    type.fieldsArray.flatMap((field) => [field.name, camelCase(field.name)].map((n) => [n, field])),
  );
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => {
      const field = fields.get(key);
      return [key, field === undefined ? member : fieldWithEnumCase(field, member, depth)];
    }),
  );
}

function fieldWithEnumCase(field: protobuf.Field, value: unknown, depth: number): unknown {
  if (field.repeated && Array.isArray(value)) return value.map((item) => valueWithEnumCase(field, item, depth));
  if (field.map && typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, member]) => [key, valueWithEnumCase(field, member, depth)]),
    );
  }
  return valueWithEnumCase(field, value, depth);
}

function valueWithEnumCase(field: protobuf.Field, value: unknown, depth: number): unknown {
  if (field.resolvedType instanceof protobuf.Type) return withEnumCase(field.resolvedType, value, depth + 1);
  if (!(field.resolvedType instanceof protobuf.Enum) || typeof value !== "string") return value;
  const upper = value.toUpperCase();
  return Object.keys(field.resolvedType.values).find((name) => name.toUpperCase() === upper) ?? value;
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
