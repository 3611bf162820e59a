/** Figures in the planner's sentences. */

/** Three digits, or all of a larger number, by thousands: 5,065. */
export function figure(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3)).toString();
}

export function percent(share: number): string {
  return `${figure(share * 100)} %`;
}

export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${figure(value)} ${units[unit]}`;
}
