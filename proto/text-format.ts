/** Reads messages from protobuf text (config.pbtxt), with the line of every field. */
import protobuf from "protobufjs";
import textFormat from "protobufjs/ext/textformat.js";
import { InferenceError } from "./errors.ts";
import { type PlainMessage, toPlainMessage } from "./plain-message.ts";
import { scanTextFields, type TextField, type TextScalar } from "./text-fields.ts";

export interface ParsedText {
  readonly message: PlainMessage;
  /** Line of a field such as `input[0].dims[1]`, else of the nearest one around it; undefined: not in the text. */
  lineOf(path: string): number | undefined;
}

/**
 * Parses a text. Throws INVALID_ARGUMENT in Triton's words (`failed to read text proto from FILE`) with the reason and,
 * where it can be told, the place as `(file:line)`.
 */
export function parseTextProto(type: protobuf.Type, text: string, file: string): ParsedText {
  let message: protobuf.Message;
  try {
    message = textFormat.fromText(type, text);
  } catch (error) {
    throw syntaxError(type, text, file, error);
  }
  const lines = new Map<string, number>();
  for (const { path, line } of scanTextFields(type, text)) {
    for (const known of [path, path.replace(/\[\d+\]$/, "")]) if (!lines.has(known)) lines.set(known, line);
  }
  return { message: toPlainMessage(type, message), lineOf: (path) => nearestLine(lines, path) };
}

/** Line of a path, or of the longest part of it that has one. */
function nearestLine(lines: ReadonlyMap<string, number>, path: string): number | undefined {
  for (let rest = path; rest !== ""; rest = rest.replace(/(^|\.[^.[\]"]+|\[(\d+|"[^"]*")\]|[^.[\]]+)$/, "")) {
    const line = lines.get(rest);
    if (line !== undefined) return line;
  }
  return undefined;
}

function syntaxError(type: protobuf.Type, text: string, file: string, error: unknown): InferenceError {
  const message = error instanceof Error ? error.message : String(error);
  // As protobufjs writes it: `.inference.ModelConfig: unknown field 'x' (line 3)`.
  const located = /^(.*) \(line (\d+)\)$/s.exec(message);
  if (located?.[1] !== undefined) {
    return textError(file, located[1].replace(/^\.[\w.]*?(\w+): (.*)$/s, "$2 in $1"), Number(located[2]), error);
  }
  const fields = scanTextFields(type, text);
  const twice = /(\w+): multiple values$/.exec(message)?.[1];
  if (twice !== undefined) return textError(file, twiceText(twice, fields), secondOf(twice, fields)?.line, error);
  for (const { path, line, field, scalar } of fields) {
    const wrong = scalar === undefined ? undefined : scalarProblem(field, scalar);
    if (wrong !== undefined) return textError(file, `${path}: ${wrong}`, line, error);
  }
  return textError(file, message, undefined, error);
}

function textError(file: string, detail: string, line: number | undefined, cause: unknown): InferenceError {
  const place = line === undefined ? "" : ` (${file}:${line})`;
  return new InferenceError("INVALID_ARGUMENT", `failed to read text proto from ${file}: ${detail}${place}`, { cause });
}

/** The second field of that name, or of the oneof of that name. */
function secondOf(name: string, fields: readonly TextField[]): TextField | undefined {
  const seen = new Map<string, string>();
  return fields.find(({ path, field }) => {
    if (field.repeated || field.map || (field.name !== name && field.partOf?.name !== name)) return false;
    const parent = path.slice(0, -field.name.length);
    if (seen.has(parent)) return true;
    seen.set(parent, field.name);
    return false;
  });
}

function twiceText(name: string, fields: readonly TextField[]): string {
  const members = fields.find(({ field }) => field.partOf?.name === name)?.field.partOf?.fieldsArray;
  return members === undefined
    ? `'${name}' is given twice`
    : `only one of ${members.map((field) => `'${field.name}'`).join(", ")} can be given`;
}

/** Why a scalar cannot be the field's value; undefined where it can. */
function scalarProblem(field: protobuf.FieldBase, scalar: TextScalar): string | undefined {
  const { kind, text } = scalar;
  if (field.resolvedType instanceof protobuf.Enum) {
    const { values, name } = field.resolvedType;
    if (Object.hasOwn(values, text) || (kind === "number" && isInteger(text, true, 32))) return undefined;
    return `'${text}' is not a ${name}; use one of ${Object.keys(values).join(", ")}`;
  }
  switch (field.type) {
    case "string":
    case "bytes":
      return kind === "string" ? undefined : `expected a text in quotes, not ${text}`;
    case "bool":
      return /^(true|True|t|false|False|f|0|1)$/.test(text) ? undefined : `expected true or false, not ${text}`;
    case "float":
    case "double": {
      const isFloat = kind === "number" ? !/^-?0[xX\d]/.test(text) : /^-?(inf|infinity|nan)$/i.test(text);
      return isFloat ? undefined : `expected a number, not ${text}`;
    }
    default: {
      const bits = field.type.endsWith("64") ? 64 : 32;
      const isSigned = !field.type.startsWith("u") && !field.type.startsWith("fixed");
      if (kind === "number" && isInteger(text, isSigned, bits)) return undefined;
      return `expected ${isSigned ? "an integer" : "a non-negative integer"} of ${bits} bits, not ${text}`;
    }
  }
}

function isInteger(text: string, isSigned: boolean, bits: number): boolean {
  const match = /^(-?)(0[xX][\da-fA-F]+|0[0-7]+|0|[1-9]\d*)$/.exec(text);
  if (match === null || text.length > 30) return false;
  const digits = (match[2] ?? "").replace(/^0(?=[0-7])/, "0o");
  const value = match[1] === "-" ? -BigInt(digits) : BigInt(digits);
  return isSigned ? BigInt.asIntN(bits, value) === value : BigInt.asUintN(bits, value) === value;
}
