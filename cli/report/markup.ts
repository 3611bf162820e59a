/** HTML and SVG as values: whatever goes into a template is escaped unless it is markup already. */
import { InferenceError } from "../../proto/errors.ts";

export interface Markup {
  readonly markup: string;
}

/** Put into a template: null is nothing, a list is its items one after the other. */
export type MarkupPart = string | number | Markup | null | readonly MarkupPart[];

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
/** Neither XML nor HTML has them, not even escaped; lone halves of surrogate pairs are no text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const NO_CHARACTERS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffe\uffff]|\p{Surrogate}/gu;

/** Template tag. Numbers become coordinates of at most two decimals; throws INTERNAL for NaN and infinity. */
export function markup(texts: TemplateStringsArray, ...parts: readonly MarkupPart[]): Markup {
  return { markup: texts.map((text, i) => (i === 0 ? text : render(parts[i - 1] ?? null) + text)).join("") };
}

export function escapeText(text: string): string {
  return text.replace(NO_CHARACTERS, "\ufffd").replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

function render(part: MarkupPart): string {
  if (part === null) return "";
  if (typeof part === "string") return escapeText(part);
  if (typeof part === "number") return coordinate(part);
  if ("markup" in part) return part.markup;
  return part.map(render).join("");
}

function coordinate(value: number): string {
  if (!Number.isFinite(value)) throw new InferenceError("INTERNAL", `a report cannot draw at ${value}`);
  return String(Math.round(value * 100) / 100);
}
