/** Round numbers for axes. */

/**
 * Multiples of 1, 2 or 5 times a power of ten within [low, high], ascending: about `count` of them, never above
 * 1.3 `count` + 1. One value, `low`, where the range is empty.
 */
export function linearTicks(low: number, high: number, count: number): number[] {
  const raw = (high - low) / count;
  if (!(raw > 0) || !Number.isFinite(raw)) return [low];
  const power = Math.floor(Math.log10(raw));
  const lead = raw / 10 ** power;
  const factor = [1, 2, 5].find((candidate) => lead <= candidate * 1.3) ?? 10;
  // 10 ** -n is not exact: dividing by the whole number is, so that 0.3 is the double nearest to 0.3.
  const tickAt = (i: number) => (power < 0 ? (i * factor) / 10 ** -power : i * factor * 10 ** power);
  const step = tickAt(1);
  const slack = 1e-9;
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step - slack); i <= Math.floor(high / step + slack); i++) ticks.push(tickAt(i) + 0);
  return ticks;
}

/** For a logarithmic axis, low > 0: powers of ten, with 2 and 5 times them where few of these are in range. */
export function logTicks(low: number, high: number): number[] {
  const powers = range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)));
  const within = (factors: readonly number[]) =>
    powers
      .flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
      .filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
  const decades = Math.log10(high / low);
  if (decades > 8) return within([1]).filter((_, i) => i % Math.ceil(decades / 8) === 0);
  if (decades > 3) return within([1]);
  const ticks = within([1, 2, 5]);
  return ticks.length >= 2 ? ticks : linearTicks(low, high, 4).filter((tick) => tick > 0);
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
