/**
 * Cuts a row of nodes into stages so that the slowest one is as fast as possible: exact dynamic programming over the
 * candidate positions. Source: hybridserve.md 3.4, planner.md 3.
 *
 * Milliseconds are of one run of one batch. The cost of a stage is the time of its nodes and that of handing on what
 * crosses the cut at its end. Ties: fewer bytes handed on, then earlier cuts.
 */
import { InferenceError } from "../../proto/errors.ts";
import type { SharedWeight } from "./cut-graph.ts";
import { StageMemory } from "./stage-memory.ts";

export interface CutPoint {
  /** Between nodes `position - 1` and `position`. */
  readonly position: number;
  /** Bytes that cross for one batch; undefined counts as none. */
  readonly bytes?: number | undefined;
}

export interface StageCosts {
  /** Time of each node. */
  readonly nodeMs: readonly number[];
  /** Bytes of weights that only this node uses. */
  readonly weightBytes: readonly number[];
  /** Weights that several nodes use: a stage holds them once, several stages once each. */
  readonly sharedWeights?: readonly SharedWeight[];
  /** Bytes in use while each node runs, weights aside; a stage needs the largest of its nodes. */
  readonly activationBytes?: readonly number[];
  /** Ascending; a position from 1 to the number of nodes - 1. */
  readonly candidates: readonly CutPoint[];
  /** Speed of the link between stages; Infinity: handing on takes no time. */
  readonly linkBytesPerMs: number;
  /** What handing on takes whatever its size; 0 by default. */
  readonly boundaryMs?: number;
}

export interface PartitionProblem extends StageCosts {
  /** Stages to make, none of them empty. */
  readonly stages: number;
  /** Bytes that each stage may take; Infinity: no limit. */
  readonly memoryLimitBytes: number;
}

export interface StageEstimate {
  readonly fromNode: number;
  /** Excluded. */
  readonly toNode: number;
  /** Time of its nodes. */
  readonly computeMs: number;
  /** Time of handing on to the next stage; 0 for the last. */
  readonly transferMs: number;
  readonly weightBytes: number;
  readonly memoryBytes: number;
}

export type Partition = PartitionFound | PartitionImpossible;

export interface PartitionFound {
  readonly feasible: true;
  /** Ascending positions, one less than there are stages. */
  readonly cuts: readonly number[];
  readonly stages: readonly StageEstimate[];
  /** Time of the slowest stage, transfer included. */
  readonly bottleneckMs: number;
}

export interface PartitionImpossible {
  readonly feasible: false;
  readonly kind: "part-too-large" | "needs-more-stages" | "too-few-cuts";
  /** What stands in the way, for the user. */
  readonly reason: string;
  /** Fewest and most stages that are possible; undefined where none are. */
  readonly possibleStages: { readonly fewest: number; readonly most: number } | undefined;
}

export function partition(problem: PartitionProblem): Partition {
  const parts = toParts(problem);
  const memory = new StageMemory(problem, parts.borders);
  const reach = memory.reach(problem.memoryLimitBytes);
  const impossible = findObstacle(problem, parts.borders, memory, reach);
  if (impossible !== undefined) return impossible;
  const bottleneckMs = leastBottleneck(parts, reach, problem.stages);
  return evaluateCuts(problem, leastMoved(parts, reach, problem.stages, bottleneckMs));
}

/** What stages between given cuts take. */
export function evaluateCuts(costs: StageCosts, cuts: readonly number[]): PartitionFound {
  const { candidates, linkBytesPerMs, boundaryMs = 0 } = costs;
  const crossing = new Map(candidates.map((candidate) => [candidate.position, candidate.bytes ?? 0]));
  const borders = [0, ...cuts, costs.nodeMs.length];
  const memory = new StageMemory(costs, borders);
  const stages = borders.slice(0, -1).map((fromNode, s): StageEstimate => {
    const toNode = borders[s + 1] ?? fromNode;
    const isLast = s === cuts.length;
    return {
      fromNode,
      toNode,
      computeMs: sum(costs.nodeMs.slice(fromNode, toNode)),
      transferMs: isLast ? 0 : boundaryMs + (crossing.get(toNode) ?? 0) / linkBytesPerMs,
      ...memory.of(s, s + 1),
    };
  });
  return {
    feasible: true,
    cuts,
    stages,
    bottleneckMs: Math.max(...stages.map((stage) => stage.computeMs + stage.transferMs)),
  };
}

/** How uneven stages are: the largest divided by the mean; 1 is even. */
export function imbalance(values: readonly number[]): number {
  return (Math.max(...values) * values.length) / sum(values);
}

/** The parts between neighbouring candidates, which stay whole; part k lies from border k to border k + 1. */
interface Parts {
  /** Node positions, 0 and the number of nodes included. */
  readonly borders: readonly number[];
  /** Time of all nodes before each border. */
  readonly msBefore: Float64Array;
  /** Time of handing on at each border; 0 at the ends. */
  readonly transferMs: Float64Array;
  readonly movedBytes: Float64Array;
}

function toParts({
  nodeMs,
  weightBytes,
  activationBytes,
  candidates,
  linkBytesPerMs,
  boundaryMs = 0,
}: StageCosts): Parts {
  const nodes = nodeMs.length;
  const listed = [nodeMs, weightBytes, activationBytes ?? []];
  if (listed.some((values) => values.some((value) => !(value >= 0 && value < Number.POSITIVE_INFINITY)))) {
    throw new InferenceError("INVALID_ARGUMENT", "partition: times and sizes of nodes must be finite and not negative");
  }
  if (weightBytes.length !== nodes || (activationBytes !== undefined && activationBytes.length !== nodes)) {
    throw new InferenceError("INVALID_ARGUMENT", `partition: times of ${nodes} nodes, sizes of another number`);
  }
  const borders = [0, ...candidates.map((candidate) => candidate.position), nodes];
  if (borders.some((border, k) => !Number.isInteger(border) || (k > 0 && border <= (borders[k - 1] ?? 0)))) {
    throw new InferenceError("INVALID_ARGUMENT", `partition: cuts must ascend between 1 and ${nodes - 1}`);
  }
  const msBefore = new Float64Array(borders.length);
  const transferMs = new Float64Array(borders.length);
  const movedBytes = new Float64Array(borders.length);
  for (let k = 1; k < borders.length; k++) {
    msBefore[k] = at(msBefore, k - 1) + sum(nodeMs.slice(borders[k - 1], borders[k]));
    if (k === borders.length - 1) continue;
    movedBytes[k] = candidates[k - 1]?.bytes ?? 0;
    transferMs[k] = boundaryMs + at(movedBytes, k) / linkBytesPerMs;
  }
  return { borders, msBefore, transferMs, movedBytes };
}

function findObstacle(
  { stages, memoryLimitBytes }: PartitionProblem,
  borders: readonly number[],
  memory: StageMemory,
  reach: Int32Array,
): PartitionImpossible | undefined {
  const most = borders.length - 1;
  let fewest = 0;
  for (let k = 0; k < most; fewest++) {
    const next = at(reach, k);
    if (next === k) {
      const { memoryBytes } = memory.of(k, k + 1);
      const [from = 0, to = 0] = borders.slice(k, k + 2);
      const what =
        to - from === 1 ? `node ${from} needs` : `nodes ${from} to ${to - 1}, between which there is no cut, need`;
      const reason = `${what} ${memoryBytes} bytes; a stage may take ${memoryLimitBytes}`;
      return { feasible: false, kind: "part-too-large", reason, possibleStages: undefined };
    }
    k = next;
  }
  const possibleStages = { fewest, most };
  if (stages > most) {
    const reason = `${stages} stages asked, but there are cuts for ${most} at most`;
    return { feasible: false, kind: "too-few-cuts", reason, possibleStages };
  }
  if (stages < fewest) {
    const reason = `${stages} stages asked, but with ${memoryLimitBytes} bytes a stage it takes at least ${fewest}`;
    return { feasible: false, kind: "needs-more-stages", reason, possibleStages };
  }
  return undefined;
}

/** least[s][j] = min over i of max(least[s-1][i], cost(i, j)); only the last row is kept. */
function leastBottleneck({ borders, msBefore, transferMs }: Parts, reach: Int32Array, stages: number): number {
  const end = borders.length - 1;
  let least = new Float64Array(end + 1).fill(Number.POSITIVE_INFINITY);
  least[0] = 0;
  for (let s = 1; s <= stages; s++) {
    const next = new Float64Array(end + 1).fill(Number.POSITIVE_INFINITY);
    for (let j = s; j <= end; j++) {
      let best = Number.POSITIVE_INFINITY;
      // A longer stage costs no less, and one that does not fit fits no better when it is longer.
      for (let i = j - 1; i >= s - 1 && at(reach, i) >= j; i--) {
        const cost = stageMs(msBefore, transferMs, i, j);
        if (cost >= best) break;
        best = Math.min(best, Math.max(at(least, i), cost));
      }
      next[j] = best;
    }
    least = next;
  }
  return at(least, end);
}

/** Cuts with no stage above the bottleneck that hand on the fewest bytes; of these the earliest. */
function leastMoved(parts: Parts, reach: Int32Array, stages: number, bottleneckMs: number): number[] {
  const { borders, msBefore, transferMs, movedBytes } = parts;
  const end = borders.length - 1;
  /** For each number of stages left: where the first of them ends, by where it starts. */
  const firstEnds: Int32Array[] = [];
  let moved = new Float64Array(end + 1).fill(Number.POSITIVE_INFINITY);
  moved[end] = 0;
  for (let left = 1; left <= stages; left++) {
    const next = new Float64Array(end + 1).fill(Number.POSITIVE_INFINITY);
    const firstEnd = new Int32Array(end + 1);
    for (let i = 0; i < end; i++) {
      for (let j = i + 1; j <= at(reach, i); j++) {
        if (at(msBefore, j) - at(msBefore, i) > bottleneckMs) break;
        const bytes = at(movedBytes, j) + at(moved, j);
        if (bytes >= at(next, i) || stageMs(msBefore, transferMs, i, j) > bottleneckMs) continue;
        next[i] = bytes;
        firstEnd[i] = j;
      }
    }
    firstEnds.push(firstEnd);
    moved = next;
  }
  const cuts: number[] = [];
  for (let left = stages, k = 0; left > 1; left--) {
    k = at(firstEnds[left - 1] ?? new Int32Array(0), k);
    cuts.push(borders[k] ?? 0);
  }
  return cuts;
}

/** Both passes compute it by the same operations, so that equal stages compare equal. */
function stageMs(msBefore: Float64Array, transferMs: Float64Array, i: number, j: number): number {
  return at(msBefore, j) - at(msBefore, i) + at(transferMs, j);
}

function at(values: Float64Array | Int32Array, index: number): number {
  // In bounds: every index runs over the borders.
  return values[index] as number;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
