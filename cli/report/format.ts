/** Numbers for readers: rounded to what the data can tell, with units; a dash for what is no number. */

export const NO_NUMBER = "–";

/** A share of 1 in percent. Two decimals say something from about 2,000 rows on, where one row is 0.05 %. */
export function percent(share: number, rows: number): string {
  if (!Number.isFinite(share)) return NO_NUMBER;
  if (share === 0) return "0 %";
  const digits = rows >= 2_000 ? 2 : 1;
  const text = (share * 100).toFixed(digits);
  // A few of very many is not none.
  const rounded = Number(text) === 0 && share > 0 ? `< ${(10 ** -digits).toFixed(digits)}` : text;
  return `${Object.is(Number(rounded), -0) ? rounded.replace("-", "") : rounded} %`;
}

/** An upper bound with its unit, rounded up: rounded to the nearest it might promise what does not hold. */
export function boundText(metric: "gap" | "harm", bound: number): string {
  if (!Number.isFinite(bound)) return NO_NUMBER;
  // Adding 0 makes -0 a plain 0.
  return `${(Math.ceil(bound * 10_000 - 1e-9) / 100 + 0).toFixed(2)} ${metric === "gap" ? "points" : "%"}`;
}

/** Difference of two shares, in percentage points, with its sign. */
export function points(difference: number, rows: number): string {
  if (!Number.isFinite(difference)) return NO_NUMBER;
  const text = (difference * 100).toFixed(rows >= 2_000 ? 2 : 1);
  if (Number(text) === 0) return text.replace("-", "");
  return difference > 0 ? `+${text}` : text;
}

export function interval(bounds: readonly [number, number] | null, rows: number): string {
  if (bounds === null) return NO_NUMBER;
  return `${percent(bounds[0], rows).replace(" %", "")} to ${percent(bounds[1], rows)}`;
}

/** Three significant digits, without an exponent where it can be read without one. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return NO_NUMBER;
  const rounded = Number(value.toPrecision(3));
  const size = Math.abs(rounded);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return rounded.toExponential();
  return rounded.toLocaleString("en", { maximumSignificantDigits: 3 });
}

export function whole(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en") : NO_NUMBER;
}

export function decimals(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : NO_NUMBER;
}

export function pValue(p: number): string {
  if (!Number.isFinite(p)) return NO_NUMBER;
  if (p === 0) return "0";
  if (p > 0 && p < 0.0001) return "< 0.0001";
  return p.toPrecision(2);
}

/** Short label of a tick: no digits that all ticks have as zeros. */
export function tick(value: number): string {
  const rounded = Number(value.toPrecision(10));
  const size = Math.abs(rounded);
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) return rounded.toExponential();
  return rounded.toLocaleString("en", { maximumFractionDigits: 10 });
}

export function percentTick(share: number): string {
  return `${tick(share * 100)} %`;
}
