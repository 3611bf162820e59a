/** Where a row goes after a level answered it: one pure function for server, search and simulator. */
import { type Gate, NEVER, type OperatingPoint } from "../../proto/files/cascade-file.ts";

/**
 * The level that a row of confidence `q` at `level` goes to; `level` itself means that its answer stands.
 * Half-open intervals, ties to the cheaper side: q >= accept stays; s_i <= q < s_(i-1) goes to level+1+i, where s_0 is
 * `accept` and s_i is `skip[i-1]`; below `hopeless.below` the row is accepted or goes to the last level.
 * NaN (scores that are no numbers) is never confident: it takes the way of q = 0, but is not accepted as hopeless.
 */
export function route(q: number, gate: Gate, level: number, lastLevel: number): number {
  if (q >= gate.accept) return level;
  if (gate.hopeless !== null) {
    if (q < gate.hopeless.below && gate.hopeless.action === "accept") return level;
    if (!(q >= gate.hopeless.below) && gate.hopeless.action === "last") return lastLevel;
  }
  let next = level + 1;
  for (const cut of gate.skip) {
    if (q >= cut) break;
    next++;
  }
  return Math.min(next, lastLevel);
}

/** The point of a cascade of `levels` levels at which nothing but the last level's answer stands. */
export function lastLevelOnlyPoint(levels: number): OperatingPoint {
  const gates = Array.from({ length: levels - 1 }, (_, k): Gate => {
    return { accept: NEVER, skip: new Array<number>(levels - 2 - k).fill(NEVER), hopeless: null };
  });
  return { name: "last-level-only", gates, expected: null, certificate: null };
}

/**
 * The first level that need run: levels before it accept nothing and send every row the same way, so that their answers
 * do not matter.
 */
export function entryLevel(gates: readonly Gate[]): number {
  let level = 0;
  for (let gate = gates[0]; gate !== undefined; gate = gates[level]) {
    const sendsAllOneWay = gate.hopeless === null && [gate.accept, ...gate.skip].every((cut) => cut >= NEVER);
    if (!sendsAllOneWay) break;
    level += 1 + gate.skip.length;
  }
  return Math.min(level, gates.length);
}
