/** Labels and groups of rows, from arrays and from texts. */
import type { Labels } from "../../planner/cascade/level-answers.ts";
import type { NpyArray } from "../../proto/files/npy.ts";
import { decodeStrings } from "../../proto/files/npy-strings.ts";
import { isWhole, readNumbers } from "./convert.ts";
import { badData, type DatasetOptions } from "./dataset.ts";

type ClassOptions = Pick<DatasetOptions, "classes" | "labelNames">;

/**
 * Labels of `rows` rows: an array [rows] of class numbers or names, or [rows, tokens] of class numbers, where -1 is a
 * token that does not count. Throws INVALID_ARGUMENT naming `where` and the row.
 */
export function readLabels(array: NpyArray, rows: number, where: string, options: ClassOptions): Labels {
  const { shape, datatype } = array;
  if (shape[0] !== rows || shape.length > 2) {
    throw badData(`${where} has shape [${shape}], expected [${rows}] or [${rows}, tokens]: one label for every row`);
  }
  const tokens = shape[1] ?? 1;
  if (tokens === 0) throw badData(`${where} has shape [${shape}]: no label at all`);
  if (datatype === "BYTES" && tokens === 1) {
    const values = decodeStrings(array.data).map((text, row) => labelOfText(text, `${where}, row ${row}`, options));
    return { values: Int32Array.from(values), tokens };
  }
  if (!isWhole(datatype)) throw badData(`${where} is ${datatype}, expected whole numbers (the class of each row)`);
  return checkLabels(readNumbers(array), tokens, where, options);
}

/** Class numbers, row after row, checked against the number of classes. */
export function checkLabels(
  numbers: ArrayLike<number>,
  tokens: number,
  where: string,
  { classes }: Pick<ClassOptions, "classes">,
): Labels {
  const least = tokens > 1 ? -1 : 0;
  const most = (classes ?? 2 ** 31) - 1;
  const values = new Int32Array(numbers.length);
  for (let i = 0; i < values.length; i++) {
    const label = numbers[i] as number; // i is within
    if (!(label >= least && label <= most)) {
      const range = classes === null ? `at least ${least}` : `${least} to ${most}`;
      throw badData(`${where}, row ${Math.floor(i / tokens)}: label ${label} is no class, expected ${range}`);
    }
    values[i] = label;
  }
  return { values, tokens };
}

/** The class that a text names: by its number, or by its name among the labels. */
export function labelOfText(text: string, where: string, { classes, labelNames }: ClassOptions): number {
  const label = text.trim();
  const named = labelNames?.indexOf(label) ?? -1;
  if (named >= 0) return named;
  if (!/^\d{1,9}$/.test(label)) {
    const expected =
      labelNames === null ? "a class number (the model has no labels file)" : "a name of the labels file";
    throw badData(`${where}: label '${label}' is no class, expected ${expected}`);
  }
  if (classes !== null && Number(label) >= classes) {
    throw badData(`${where}: label ${label} is no class, expected 0 to ${classes - 1}`);
  }
  return Number(label);
}

/** The group of each row: whole numbers or texts, [rows]. */
export function readGroups(array: NpyArray, rows: number, where: string): string[] {
  const { shape, datatype } = array;
  if (shape.length !== 1 || shape[0] !== rows) {
    throw badData(`${where} has shape [${shape}], expected [${rows}]: one group for every row`);
  }
  if (datatype === "BYTES") return decodeStrings(array.data);
  if (!isWhole(datatype)) throw badData(`${where} is ${datatype}, expected whole numbers or texts`);
  return Array.from(readNumbers(array), String);
}
