/** Deadline-aware escalation: where a row can still go when its caller waits only so long. */

/**
 * `next`: by the path of its confidence. `last`: straight to the last level, since after the next level there would be
 * no time for it. `none`: no level that is left can answer in time.
 */
export type DeadlineRoute = "next" | "last" | "none";

/**
 * `remainingMs`: until the deadline. `nextMs`, `lastMs`: how long the next level of the row's path and the last one
 * take now, queue included (0 before anything was measured: then time is never short). `nextIsLast`: they are one.
 * A next level that fits is taken even if the last would not: it may accept the row, and is asked again if not.
 */
export function deadlineRoute(remainingMs: number, nextMs: number, lastMs: number, nextIsLast: boolean): DeadlineRoute {
  if (nextIsLast) return lastMs <= remainingMs ? "next" : "none";
  if (nextMs + lastMs <= remainingMs) return "next";
  if (lastMs <= remainingMs) return "last";
  return nextMs <= remainingMs ? "next" : "none";
}
