/** What a command-line flag of `serve` is: one row of the flag tables. */

/** How a flag's text is read. `flag` takes no value; `boolean` takes true, false, 1 or 0 and means true without one. */
export type FlagKind = "flag" | "boolean" | "integer" | "number" | "text";

export interface FlagSpec<N extends string = string> {
  readonly name: N;
  readonly kind: FlagKind;
  /** Value when the flag is not given; "" for none. */
  readonly default: string;
  readonly help: string;
  /** The flag may be given several times and keeps every value; otherwise the last one counts, as in Triton. */
  readonly repeatable?: boolean;
  /** Why the flag is accepted without effect: one warning line when it is given. Absent: it acts. */
  readonly noEffect?: string;
  /** The values that are allowed. */
  readonly choices?: readonly string[];
  /** Smallest number that is allowed. */
  readonly min?: number;
  /** Largest number that is allowed. */
  readonly max?: number;
}

/** Flags under one heading of `--help`. */
export interface FlagGroup<N extends string = string> {
  readonly title: string;
  readonly flags: readonly FlagSpec<N>[];
}

type Extra = Omit<FlagSpec, "name" | "kind" | "default" | "help">;

/** A flag that acts. */
export function flag<const N extends string>(
  name: N,
  kind: FlagKind,
  defaultText: string,
  help: string,
  extra: Extra = {},
): FlagSpec<N> {
  return { name, kind, default: defaultText, help, ...extra };
}

/** A flag of tritonserver that cannot apply here: accepted, so that start scripts work unchanged. */
export function inert<const N extends string>(
  name: N,
  kind: FlagKind,
  noEffect: string,
  extra: Extra = {},
): FlagSpec<N> {
  return { name, kind, default: "", help: `accepted without effect: ${noEffect}`, noEffect, ...extra };
}
