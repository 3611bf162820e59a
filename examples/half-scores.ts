/** Scores in half precision that give the same answers as in single precision. */
import { numberToHalf } from "../cli/dataset/convert.ts";
import { halfToNumber } from "../scheduler/confidence/floats.ts";

/** Fraction bits of a half: neighbours are 2^-10 of their power of two apart. */
const FRACTION_BITS = 10;
/** Exponent of the smallest normal half; below it neighbours stay as far apart. */
const MIN_EXPONENT = -14;

/**
 * Scores [..., classes] as the bits of halves, rounded to multiples of `step` first where that is given. Where rounding
 * lets another class tie with the best one and come first, or win, the best one's score is raised a little above it: the
 * first of the highest is the same class before and after. Throws where a score is not finite or too large for a half.
 */
export function halvesKeepingAnswers(values: Float32Array, classes: number, step: number | null): Uint16Array {
  const bits = Uint16Array.from(values, (value) => numberToHalf(step === null ? value : roundTo(value, step)));
  for (let start = 0; start < values.length; start += classes) {
    const rounded = Float32Array.from(bits.subarray(start, start + classes), halfToNumber);
    if (!rounded.every(Number.isFinite)) throw new Error(`scores ${start} and following do not fit half precision`);
    const best = firstHighest(values.subarray(start, start + classes));
    const now = firstHighest(rounded);
    if (now === best) continue;
    const highest = rounded[now] as number; // now is within
    bits[start + best] = numberToHalf(highest + (step ?? spacing(highest)));
  }
  return bits;
}

function roundTo(value: number, step: number): number {
  return Math.round(value / step) * step;
}

/** At least the distance from a half to the next larger one, and at most twice that. */
function spacing(half: number): number {
  const exponent = half === 0 ? MIN_EXPONENT : Math.max(MIN_EXPONENT, Math.floor(Math.log2(Math.abs(half))));
  return 2 ** (exponent - FRACTION_BITS);
}

/** Index of the first of the highest. */
export function firstHighest(values: Float32Array): number {
  return values.indexOf(Math.max(...values));
}
