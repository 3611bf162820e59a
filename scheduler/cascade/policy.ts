/** Where a row goes after a level answered it: one pure function for server, search and simulator. */
import type { Gate } from "../../proto/files/cascade-file.ts";

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
