/** Lists of processor cores, as Linux and devices.json write them: `0-3,8`. */

/** The cores of a list, ascending; none for "". The list has been checked: digits, `-` and `,`. */
export function coresOf(list: string): number[] {
  const cores = new Set<number>();
  for (const part of list.split(",")) {
    if (part.trim() === "") continue;
    const [first = "", last = first] = part.split("-");
    for (let core = Number(first); core <= Number(last); core++) cores.add(core);
  }
  return [...cores].sort((a, b) => a - b);
}
