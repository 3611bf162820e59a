/** Node times out of onnxruntime's profile: the JSON events that `endProfiling` writes (planner.md 1.4). */
import { InferenceError } from "../../proto/errors.ts";

/** What the profile covers. */
export interface ProfiledRuns {
  readonly warmUpRuns: number;
  readonly runs: number;
}

/** A profile names a node's event by the node and this. */
const KERNEL_SUFFIX = "_kernel_time";

/**
 * Median milliseconds of each node over the runs that count, in the order of the names, which are unique. undefined
 * for a node without an event, one that the runtime folds or skips. INTERNAL where the profile is not of these runs.
 */
export function nodeTimes(events: unknown, names: readonly string[], profiled: ProfiledRuns): (number | undefined)[] {
  const durations = eventDurations(events);
  return names.map((name) => {
    const all = durations.get(`Node ${name}${KERNEL_SUFFIX}`);
    return all === undefined ? undefined : medianOfCounted(name, all, profiled);
  });
}

/** Median milliseconds of a whole run. */
export function medianRunMs(events: unknown, profiled: ProfiledRuns): number {
  return medianOfCounted("model_run", eventDurations(events).get("Session model_run") ?? [], profiled);
}

function medianOfCounted(name: string, durations: readonly number[], { warmUpRuns, runs }: ProfiledRuns): number {
  if (durations.length !== warmUpRuns + runs || runs === 0) {
    const text = `the profile has ${durations.length} events of '${name}' for ${warmUpRuns + runs} runs`;
    throw new InferenceError("INTERNAL", text);
  }
  const sorted = durations.slice(warmUpRuns).sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  // In bounds: there is at least one.
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** Milliseconds of all events in their order, by `category name`. */
function eventDurations(events: unknown): ReadonlyMap<string, readonly number[]> {
  if (!Array.isArray(events)) throw new InferenceError("INTERNAL", "the profile is no list of events");
  const durations = new Map<string, number[]>();
  for (const event of events as readonly unknown[]) {
    if (typeof event !== "object" || event === null) continue;
    const { cat, name, dur } = event as { readonly cat?: unknown; readonly name?: unknown; readonly dur?: unknown };
    if (typeof name !== "string" || typeof dur !== "number") continue;
    const key = `${cat} ${name}`;
    const known = durations.get(key);
    if (known === undefined) durations.set(key, [dur / 1000]);
    else known.push(dur / 1000);
  }
  return durations;
}
