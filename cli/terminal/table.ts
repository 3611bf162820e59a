/** Tables of plain text. */

export interface TextColumn {
  readonly title: string;
  readonly align: "left" | "right";
  /** Cut to make the table fit; the others keep their width. */
  readonly shrinks: boolean;
}

const GAP = "  ";
/** A shrinking column keeps this much. */
const LEAST_WIDTH = 6;
const CONTROL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
/** East Asian scripts and emoji take two cells. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/** Lines of at most `width` cells, a heading and a rule first; control characters in cells become "?". */
export function textTable(
  columns: readonly TextColumn[],
  rows: readonly (readonly string[])[],
  width: number,
): string[] {
  const clean = [columns.map(({ title }) => title), ...rows].map((cells) =>
    columns.map((_, i) => plainText(cells[i] ?? "")),
  );
  const natural = columns.map((_, i) => Math.max(...clean.map((cells) => cellWidth(cells[i] ?? ""))));
  const widths = fittedWidths(columns, natural, width);
  const lines = clean.map((cells) =>
    clip(
      cells.map((cell, i) => pad(clip(cell, widths[i] ?? 0), widths[i] ?? 0, columns[i]?.align)).join(GAP),
      width,
    ).trimEnd(),
  );
  const rule = "-".repeat(
    Math.min(
      width,
      widths.reduce((sum, one) => sum + one, GAP.length * (widths.length - 1)),
    ),
  );
  return [lines[0] ?? "", rule, ...lines.slice(1)];
}

/** Text that cannot move the cursor or change colours. */
export function plainText(text: string): string {
  return text.replace(CONTROL, "?");
}

/** Lines of at most `width` cells, broken between words; longer words are cut. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of plainText(text).split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && cellWidth(`${last} ${word}`) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(clip(word, width));
  }
  return lines;
}

/** Cells on the terminal. */
export function cellWidth(text: string): number {
  return [...text].reduce((sum, character) => sum + (/\p{M}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1), 0);
}

/** Takes from the widest shrinking column until the table fits or none can give. */
function fittedWidths(columns: readonly TextColumn[], natural: readonly number[], width: number): number[] {
  const widths = [...natural];
  let excess = widths.reduce((sum, one) => sum + one, GAP.length * (widths.length - 1)) - width;
  while (excess > 0) {
    let widest = -1;
    widths.forEach((one, i) => {
      if (columns[i]?.shrinks === true && one > LEAST_WIDTH && one > (widths[widest] ?? 0)) widest = i;
    });
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess--;
  }
  return widths;
}

/** The text, its end replaced by "…" where it is wider than `width` cells. */
export function clip(text: string, width: number): string {
  if (cellWidth(text) <= width) return text;
  let kept = "";
  for (const character of text) {
    if (cellWidth(kept + character) > width - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

function pad(text: string, width: number, align: TextColumn["align"] = "left"): string {
  const space = " ".repeat(Math.max(0, width - cellWidth(text)));
  return align === "left" ? text + space : space + text;
}
