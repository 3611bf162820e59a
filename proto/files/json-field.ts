/** Reads a JSON file field by field; every complaint names the file and the path inside it. */
import { InferenceError } from "../errors.ts";
import { didYouMean } from "../suggest.ts";

/** Largest file read, in characters; far above what calibration or the planner writes. */
const MAX_CHARACTERS = 64 * 1024 * 1024;

export class JsonField {
  readonly file: string;
  /** Where in the file, as one would write it in JavaScript; "" for the whole. */
  readonly path: string;
  readonly value: unknown;

  constructor(file: string, path: string, value: unknown) {
    this.file = file;
    this.path = path;
    this.value = value;
  }

  /** The root of a file's text. */
  static parse(text: string, file: string): JsonField {
    if (text.length > MAX_CHARACTERS) throw new InferenceError("INVALID_ARGUMENT", `${file}: the file is too large`);
    try {
      return new JsonField(file, "", JSON.parse(text));
    } catch (error) {
      throw new InferenceError("INVALID_ARGUMENT", `${file}: not valid JSON: ${(error as SyntaxError).message}`);
    }
  }

  /** The complaint about this field. */
  error(complaint: string): InferenceError {
    const where = this.path === "" ? "the file" : this.path;
    return new InferenceError("INVALID_ARGUMENT", `${this.file}: ${where} ${complaint}`);
  }

  /** An object with no keys but the known ones. */
  object(knownKeys: readonly string[]): this {
    const record = this.#record();
    for (const key of Object.keys(record)) {
      if (knownKeys.includes(key)) continue;
      throw this.#at(key).error(`is not a known key${didYouMean(key, knownKeys)}; known: ${knownKeys.join(", ")}`);
    }
    return this;
  }

  /** A key that must be there. */
  get(key: string): JsonField {
    const field = this.optional(key);
    if (field === undefined) throw this.#at(key).error("is missing");
    return field;
  }

  /** A key that may be absent; undefined then. */
  optional(key: string): JsonField | undefined {
    return Object.hasOwn(this.#record(), key) ? this.#at(key) : undefined;
  }

  /** Every key of an object with free keys. */
  entries(): [string, JsonField][] {
    return Object.keys(this.#record()).map((key) => [key, this.#at(key)]);
  }

  items(): JsonField[] {
    if (!Array.isArray(this.value)) throw this.error("must be an array");
    return this.value.map((item, i) => new JsonField(this.file, `${this.path}[${i}]`, item));
  }

  isNull(): boolean {
    return this.value === null;
  }

  string(): string {
    if (typeof this.value !== "string" || this.value === "") throw this.error("must be a non-empty string");
    return this.value;
  }

  oneOf<T extends string>(choices: readonly T[]): T {
    const choice = choices.find((candidate) => candidate === this.value);
    if (choice === undefined) throw this.error(`must be one of ${choices.map((each) => `"${each}"`).join(", ")}`);
    return choice;
  }

  number(least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY): number {
    if (typeof this.value !== "number" || this.value < least || this.value > most) {
      if (least === most) throw this.error(`must be ${least}`);
      throw this.error(`must be a number ${rangeText(least, most)}`.trimEnd());
    }
    return this.value;
  }

  integer(least: number, most = Number.MAX_SAFE_INTEGER): number {
    const value = this.number(least, most);
    if (!Number.isInteger(value)) throw this.error("must be a whole number");
    return value;
  }

  #record(): Readonly<Record<string, unknown>> {
    if (typeof this.value !== "object" || this.value === null || Array.isArray(this.value)) {
      throw this.error("must be an object");
    }
    return this.value as Record<string, unknown>;
  }

  #at(key: string): JsonField {
    return new JsonField(this.file, this.path === "" ? key : `${this.path}.${key}`, this.#record()[key]);
  }
}

function rangeText(least: number, most: number): string {
  if (Number.isFinite(least) && Number.isFinite(most)) return `between ${least} and ${most}`;
  if (Number.isFinite(least)) return `of at least ${least}`;
  return Number.isFinite(most) ? `of at most ${most}` : "";
}
