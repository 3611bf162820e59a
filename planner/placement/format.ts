/** Figures in the planner's sentences. */

/** Three digits, or all of a larger number. */
export function figure(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();
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
