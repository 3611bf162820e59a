/** Where a graph may be cut: positions that few and small tensors cross. Source: planner.md 1.2. */
import type { CutGraph } from "./cut-graph.ts";

export interface CutCandidate {
  /** Between nodes `position - 1` and `position` of the CutGraph. */
  readonly position: number;
  /** Results of earlier nodes that later ones read. */
  readonly tensors: readonly string[];
  /** Their size together for one run; undefined where the size of one is not known. */
  readonly bytes: number | undefined;
}

export interface CutLimits {
  /** Most tensors that may cross; 5 by default: a hidden state and what little shapes and masks go along with it. */
  readonly maxLiveTensors?: number;
  /** Most bytes that may cross; no limit by default. Positions of unknown size stay. */
  readonly maxCutBytes?: number;
  /** Sizes of tensors for one run, by name. */
  readonly tensorBytes?: ReadonlyMap<string, number>;
  /** Tensors that cannot leave a session: sequences, and elements that the binding does not pass. */
  readonly unpassable?: ReadonlySet<string>;
}

export interface CutCandidates {
  /** By position. */
  readonly candidates: readonly CutCandidate[];
  /** Why there is none; undefined where there is one. */
  readonly uncuttable: string | undefined;
}

const MAX_LIVE_TENSORS = 5;

/** One sweep over the nodes: O(nodes + tensors + tensors that cross candidates). */
export function cutCandidates(graph: CutGraph, limits: CutLimits = {}): CutCandidates {
  const maxLive = limits.maxLiveTensors ?? MAX_LIVE_TENSORS;
  const maxBytes = limits.maxCutBytes ?? Number.POSITIVE_INFINITY;
  const ending = Map.groupBy(graph.tensors, (tensor) => tensor.lastUse);
  const starting = Map.groupBy(graph.tensors, (tensor) => tensor.producer);
  const live = new Set<string>();
  const candidates: CutCandidate[] = [];
  let fewest = Number.POSITIVE_INFINITY;
  let smallest = Number.POSITIVE_INFINITY;
  let unpassable = 0;
  for (let position = 1; position < graph.nodes.length; position++) {
    for (const { name } of ending.get(position - 1) ?? []) live.delete(name);
    for (const { name } of starting.get(position - 1) ?? []) live.add(name);
    fewest = Math.min(fewest, live.size);
    if (live.size > maxLive) continue;
    const tensors = [...live];
    if (tensors.some((name) => limits.unpassable?.has(name))) {
      unpassable++;
      continue;
    }
    const bytes = totalBytes(tensors, limits.tensorBytes);
    smallest = Math.min(smallest, bytes ?? 0);
    if ((bytes ?? 0) <= maxBytes) candidates.push({ position, tensors, bytes });
  }
  const uncuttable =
    candidates.length > 0 ? undefined : why(graph, { fewest, smallest, unpassable, maxLive, maxBytes });
  return { candidates, uncuttable };
}

interface Swept {
  readonly fewest: number;
  readonly smallest: number;
  readonly unpassable: number;
  readonly maxLive: number;
  readonly maxBytes: number;
}

function why(graph: CutGraph, { fewest, smallest, unpassable, maxLive, maxBytes }: Swept): string {
  const [first] = graph.nodes;
  if (first === undefined) return "the graph computes nothing from its inputs";
  if (graph.nodes.length === 1) {
    return `all its work is inside one node, '${first.name}' (${first.opType}), and nodes are not cut inside`;
  }
  if (fewest > maxLive) return `at least ${fewest} tensors cross every cut; at most ${maxLive} may`;
  if (smallest <= maxBytes) return `${unpassable} narrow cuts cross tensors that a session cannot hand out`;
  return `at least ${smallest} bytes cross every narrow cut; at most ${maxBytes} may`;
}

function totalBytes(tensors: readonly string[], sizes: ReadonlyMap<string, number> | undefined): number | undefined {
  let total = 0;
  for (const name of tensors) {
    const bytes = sizes?.get(name);
    if (bytes === undefined) return undefined;
    total += bytes;
  }
  return total;
}
