/** A value and its interval as a small bar inside a table. */
import { type Markup, markup } from "./markup.ts";

const WIDTH = 150;
const HEIGHT = 16;

/** Drawn on a line from 0 to `highest`; what is no number is not drawn. */
export function rangeBar(value: number, [low, high]: readonly [number, number], highest: number): Markup {
  const at = (share: number) => 3 + Math.min(1, Math.max(0, share / highest)) * (WIDTH - 6);
  const drawable = [value, low, high, highest].every(Number.isFinite) && highest > 0;
  const drawn = drawable
    ? markup`<line class="line thin c1" x1="${at(low)}" x2="${at(high)}" y1="8" y2="8"/><circle class="dot c1" cx="${at(value)}" cy="8" r="3.5"/>`
    : null;
  return markup`<svg width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" aria-hidden="true"><line class="grid" x1="3" x2="${WIDTH - 3}" y1="8" y2="8"/>${drawn}</svg>`;
}
