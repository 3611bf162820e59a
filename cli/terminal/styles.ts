/** Colour for terminals that show it. */

export interface Styles {
  good(text: string): string;
  bad(text: string): string;
  strong(text: string): string;
}

/** What decides whether colour codes are written. */
export interface TerminalTraits {
  readonly isTty: boolean;
  /** The process's environment: NO_COLOR (any text but none, no-color.org) and TERM=dumb turn colour off. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export function terminalStyles({ isTty, environment }: TerminalTraits): Styles {
  const colours = isTty && (environment["NO_COLOR"] ?? "") === "" && environment["TERM"] !== "dumb";
  const code = (on: number, off: number) => (text: string) => (colours ? `\u001b[${on}m${text}\u001b[${off}m` : text);
  return { good: code(32, 39), bad: code(31, 39), strong: code(1, 22) };
}
