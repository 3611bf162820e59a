/** Finds fields in protobuf text: protobufjs' parser says where syntax is wrong, but not where a field stood. */
import protobuf from "protobufjs";

/** A field or one element of a repeated field, as written. */
export interface TextField {
  /** Such as `input[0].dims[1]`, `parameters["key"].string_value`. */
  readonly path: string;
  /** Counts from 1. */
  readonly line: number;
  readonly field: protobuf.FieldBase;
  /** undefined: a message. */
  readonly scalar: TextScalar | undefined;
}

export interface TextScalar {
  readonly kind: "string" | "number" | "word";
  /** As written, the sign included. */
  readonly text: string;
}

/** Every known field of a text, outer before inner; stops without an error where the text cannot be read. */
export function scanTextFields(type: protobuf.Type, text: string): TextField[] {
  const scanner = new Scanner(text);
  scanner.message(type, "", undefined, 0);
  return scanner.fields;
}

interface Token {
  readonly kind: "string" | "number" | "word" | "punctuation";
  readonly text: string;
  readonly line: number;
}

/** Space and comments, then at most one of: string, number, punctuation, word. */
const TOKEN =
  /(?:\s|#[^\n]*)*(?:("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(\.?\d(?:[eE][+-]\d|[\w.])*)|([{}<>:[\],;-])|([^\s#"'{}<>:[\],;-]+))?/y;

/** As deep as protobufjs parses. */
const MAX_DEPTH = 100;

class Scanner {
  readonly fields: TextField[] = [];
  readonly #text: string;
  #position = 0;
  #line = 1;
  #next: Token | undefined;

  constructor(text: string) {
    this.#text = text;
    this.#next = this.#read();
  }

  /** Scans to `end`, or to the end of the text; false once the text made no sense. */
  message(type: protobuf.Type, prefix: string, end: string | undefined, depth: number): boolean {
    if (depth > MAX_DEPTH) return false;
    const counts = new Map<string, number>();
    for (let token = this.#take(); token !== undefined; token = this.#take()) {
      if (token.text === end && token.kind === "punctuation") return true;
      if (token.kind === "punctuation") continue;
      const field = type.fields[token.text];
      if (field === undefined) return false;
      this.#skip(":");
      const isList = this.#skip("[");
      do {
        if (isList && this.#skip("]")) break;
        const count = counts.get(field.name) ?? 0;
        counts.set(field.name, count + 1);
        const path = prefix + (field.repeated ? `${field.name}[${count}]` : field.name);
        if (!this.#value(field, path, isList ? (this.#next?.line ?? token.line) : token.line, depth)) return false;
      } while (isList && (this.#skip(",") || !this.#skip("]")));
    }
    return end === undefined;
  }

  #value(field: protobuf.FieldBase, path: string, line: number, depth: number): boolean {
    const opening = this.#next;
    if (opening === undefined) return false;
    if (opening.text === "{" || opening.text === "<") {
      this.#take();
      const end = opening.text === "{" ? "}" : ">";
      if (field instanceof protobuf.MapField) return this.#mapEntry(field, path, line, end, depth);
      this.fields.push({ path, line, field, scalar: undefined });
      return field.resolvedType instanceof protobuf.Type
        ? this.message(field.resolvedType, `${path}.`, end, depth + 1)
        : false;
    }
    const scalar = this.#scalar();
    if (scalar === undefined) return false;
    this.fields.push({ path, line, field, scalar });
    return true;
  }

  /** `{ key: "k" value: v }`, in either order; the path is known once the key is. */
  #mapEntry(field: protobuf.MapField, path: string, line: number, end: string, depth: number): boolean {
    const first = this.fields.length;
    let key = "";
    let isSound = true;
    for (let token = this.#take(); isSound; token = this.#take()) {
      if (token === undefined) isSound = false;
      else if (token.text === end && token.kind === "punctuation") break;
      else if (token.text === "key") {
        this.#skip(":");
        key = this.#scalar()?.text.replace(/^["']|["']$/g, "") ?? "";
      } else if (token.text === "value") {
        this.#skip(":");
        const opening = this.#next?.text;
        if (field.resolvedType instanceof protobuf.Type && (opening === "{" || opening === "<")) {
          this.#take();
          isSound = this.message(field.resolvedType, "\0.", opening === "{" ? "}" : ">", depth + 1);
        } else {
          const scalar = this.#scalar();
          if (scalar !== undefined) this.fields.push({ path: "\0", line: token.line, field, scalar });
        }
      }
    }
    const entry = `${path}["${key}"]`;
    const inner = this.fields.splice(first).map((found) => ({ ...found, path: found.path.replace("\0", entry) }));
    this.fields.push({ path: entry, line, field, scalar: undefined }, ...inner);
    return isSound;
  }

  #scalar(): TextScalar | undefined {
    const sign = this.#skip("-") ? "-" : "";
    const token = this.#take();
    if (token === undefined || token.kind === "punctuation") return undefined;
    // Adjoining strings are one string.
    while (token.kind === "string" && this.#next?.kind === "string") this.#take();
    return { kind: token.kind, text: sign + token.text };
  }

  #skip(punctuation: string): boolean {
    if (this.#next?.kind !== "punctuation" || this.#next.text !== punctuation) return false;
    this.#take();
    return true;
  }

  #take(): Token | undefined {
    const token = this.#next;
    this.#next = this.#read();
    return token;
  }

  #read(): Token | undefined {
    TOKEN.lastIndex = this.#position;
    const match = TOKEN.exec(this.#text);
    if (match === null) return undefined;
    for (let i = this.#position; i < TOKEN.lastIndex; i++) if (this.#text.charCodeAt(i) === NEWLINE) this.#line++;
    this.#position = TOKEN.lastIndex;
    const [, string, number, punctuation, word] = match;
    if (string !== undefined) return { kind: "string", text: string, line: this.#line };
    if (number !== undefined) return { kind: "number", text: number, line: this.#line };
    if (punctuation !== undefined) return { kind: "punctuation", text: punctuation, line: this.#line };
    return word === undefined ? undefined : { kind: "word", text: word, line: this.#line };
  }
}

const NEWLINE = 10;
