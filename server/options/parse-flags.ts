/** Reads a command line by the flag tables: `--flag=value`, `--flag value`, `--flag` where a flag needs no value. */
import { InferenceError } from "../../proto/errors.ts";
import { didYouMean } from "../../proto/suggest.ts";
import type { FlagSpec } from "./flag.ts";
import { FLAGS, type FlagName } from "./flags.ts";

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["1", true],
  ["false", false],
  ["0", false],
]);

/** The flags of one command line, each value checked against its row. */
export class ParsedFlags {
  readonly #given: ReadonlyMap<string, readonly string[]>;

  constructor(given: ReadonlyMap<string, readonly string[]>) {
    this.#given = given;
  }

  has(name: FlagName): boolean {
    return this.#given.has(name);
  }

  /** The last value given, else the default. */
  text(name: FlagName): string {
    return this.#given.get(name)?.at(-1) ?? FLAGS.get(name)?.default ?? "";
  }

  /** Every value given, in order. */
  texts(name: FlagName): readonly string[] {
    return this.#given.get(name) ?? [];
  }

  number(name: FlagName): number {
    return Number(this.text(name));
  }

  boolean(name: FlagName): boolean {
    return BOOLEANS.get(this.text(name).toLowerCase()) ?? false;
  }

  /** One line for each flag that was given and has no effect; a boolean that was switched off deserves none. */
  warnings(): string[] {
    const lines: string[] = [];
    for (const [name, values] of this.#given) {
      const spec = FLAGS.get(name);
      if (spec?.noEffect === undefined) continue;
      if (spec.kind === "boolean" && BOOLEANS.get(values.at(-1)?.toLowerCase() ?? "") === false) continue;
      lines.push(`--${name} has no effect: ${spec.noEffect}`);
    }
    return lines;
  }
}

/** Throws INVALID_ARGUMENT that names the flag, what is wrong with it and what would be right. */
export function parseFlags(argv: readonly string[]): ParsedFlags {
  const given = new Map<string, string[]>();
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "-h") {
      given.set("help", ["true"]);
      continue;
    }
    if (!word.startsWith("--")) throw usage(`unexpected argument "${word}"; flags start with --`);
    const equals = word.indexOf("=");
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
    const spec = FLAGS.get(name);
    if (spec === undefined) throw usage(`unknown flag --${name}${didYouMean(name, FLAGS.keys(), "--")}`);
    let value = equals < 0 ? undefined : word.slice(equals + 1);
    if (value === undefined && takesNext(spec, argv[i + 1])) value = argv[++i];
    if (value === undefined && (spec.kind === "flag" || spec.kind === "boolean")) value = "true";
    if (value === undefined) throw usage(`--${name} needs a value`);
    check(spec, value);
    const values = given.get(name);
    if (values !== undefined && spec.repeatable === true) values.push(value);
    else given.set(name, [value]);
  }
  return new ParsedFlags(given);
}

/** Whether the next word is this flag's value. */
function takesNext(spec: FlagSpec, next: string | undefined): boolean {
  if (next === undefined || spec.kind === "flag") return false;
  if (spec.kind === "boolean") return BOOLEANS.has(next.toLowerCase());
  return !next.startsWith("--");
}

function check(spec: FlagSpec, value: string): void {
  const got = `, got "${value}"`;
  if (spec.kind === "flag" || spec.kind === "boolean") {
    if (!BOOLEANS.has(value.toLowerCase())) throw usage(`--${spec.name} takes true or false${got}`);
    return;
  }
  if (spec.kind === "text") {
    if (spec.choices !== undefined && !spec.choices.includes(value)) {
      throw usage(`--${spec.name} takes ${spec.choices.join(", ")}${got}`);
    }
    return;
  }
  const number = Number(value);
  const isRight =
    spec.kind === "integer" ? /^[+-]?\d+$/.test(value) && Number.isSafeInteger(number) : value.trim() !== "";
  if (!isRight || !Number.isFinite(number)) throw usage(`--${spec.name} takes a whole number${got}`);
  if (spec.min !== undefined && number < spec.min) throw usage(`--${spec.name} must be at least ${spec.min}${got}`);
  if (spec.max !== undefined && number > spec.max) throw usage(`--${spec.name} must be at most ${spec.max}${got}`);
}

function usage(message: string): InferenceError {
  return new InferenceError("INVALID_ARGUMENT", message);
}
