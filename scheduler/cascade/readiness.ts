/** Whether a cascade would answer now, by what its levels would do. Pure. */
import type { Gate } from "../../proto/files/cascade-file.ts";
import type { OnLevelFailure } from "./cascade-run.ts";
import { entryLevel, route } from "./policy.ts";

/**
 * Under `fail` a cascade needs every level that its gates can send a row to; under `degrade` the level where rows enter,
 * whose answers stand for those of levels that fail.
 */
export function isCascadeReady(
  gates: readonly Gate[],
  onLevelFailure: OnLevelFailure,
  isLevelReady: (level: number) => boolean,
): boolean {
  if (onLevelFailure === "degrade") return isLevelReady(entryLevel(gates));
  return reachableLevels(gates).every(isLevelReady);
}

/** Levels that a row of some confidence from 0 to 1 reaches, ascending. */
export function reachableLevels(gates: readonly Gate[]): number[] {
  const reached = new Set([entryLevel(gates)]);
  for (const [level, gate] of gates.entries()) {
    if (!reached.has(level)) continue;
    // The way is the same from one cut up to the next, so that the lower ends tell them all.
    const cuts = [0, gate.accept, ...gate.skip, gate.hopeless?.below ?? 0].filter((cut) => cut <= 1);
    for (const q of cuts) reached.add(route(q, gate, level, gates.length));
  }
  return [...reached].sort((a, b) => a - b);
}
