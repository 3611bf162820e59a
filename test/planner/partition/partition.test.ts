/** The partition against enumeration of all cuts, its golden values and what it says where there is none. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { partitionByParameterCount } from "../../../planner/partition/parameter-count.ts";
import { evaluateCuts, imbalance, type PartitionProblem, partition } from "../../../planner/partition/partition.ts";

/** Whole numbers, so that sums are exact whatever their order. */
function randomProblem(random: () => number): PartitionProblem {
  const whole = (limit: number) => Math.floor(random() * limit);
  const nodes = 1 + whole(12);
  const zeroOr = (limit: number) => (random() < 0.25 ? 0 : whole(limit));
  const vector = (limit: number) => Array.from({ length: nodes }, () => zeroOr(limit));
  const positions = Array.from({ length: nodes - 1 }, (_, i) => i + 1).filter(() => random() < 0.8);
  const weightBytes = vector(50);
  const sharedWeights = Array.from({ length: whole(4) }, () => ({
    bytes: zeroOr(60),
    nodes: Array.from({ length: nodes }, (_, i) => i).filter(() => random() < 0.4),
  })).filter((weight) => weight.nodes.length > 1);
  return {
    nodeMs: vector(20),
    weightBytes,
    ...(random() < 0.5 ? {} : { sharedWeights }),
    ...(random() < 0.5 ? {} : { activationBytes: vector(30) }),
    candidates: positions.map((position) => ({ position, bytes: random() < 0.1 ? undefined : zeroOr(12) })),
    linkBytesPerMs: random() < 0.2 ? Number.POSITIVE_INFINITY : 1,
    boundaryMs: whole(2),
    stages: 1 + whole(5),
    memoryLimitBytes: random() < 0.3 ? Number.POSITIVE_INFINITY : 30 + whole(200),
  };
}

interface Tried {
  readonly cuts: readonly number[];
  readonly bottleneckMs: number;
  readonly movedBytes: number;
}

/** Every choice of cuts, costed by plain loops; undefined where none fits. */
function bruteForce(problem: PartitionProblem): Tried | undefined {
  let best: Tried | undefined;
  for (const cuts of choices(
    problem.candidates.map((candidate) => candidate.position),
    problem.stages - 1,
  )) {
    const tried = tryCuts(problem, cuts);
    if (tried === undefined) continue;
    // Cuts come in lexicographic order: of equals the first stays.
    const isBetter =
      best === undefined ||
      tried.bottleneckMs < best.bottleneckMs ||
      (tried.bottleneckMs === best.bottleneckMs && tried.movedBytes < best.movedBytes);
    if (isBetter) best = tried;
  }
  return best;
}

function tryCuts(problem: PartitionProblem, cuts: readonly number[]): Tried | undefined {
  const borders = [0, ...cuts, problem.nodeMs.length];
  let bottleneckMs = 0;
  let movedBytes = 0;
  for (let s = 0; s + 1 < borders.length; s++) {
    const [from = 0, to = 0] = [borders[s], borders[s + 1]];
    let ms = 0;
    let bytes = 0;
    let peak = 0;
    for (let node = from; node < to; node++) {
      ms += problem.nodeMs[node] ?? 0;
      bytes += problem.weightBytes[node] ?? 0;
      peak = Math.max(peak, problem.activationBytes?.[node] ?? 0);
    }
    for (const weight of problem.sharedWeights ?? []) {
      if (weight.nodes.some((node) => node >= from && node < to)) bytes += weight.bytes;
    }
    if (bytes + peak > problem.memoryLimitBytes) return undefined;
    if (to < problem.nodeMs.length) {
      const crossing = problem.candidates.find((candidate) => candidate.position === to)?.bytes ?? 0;
      movedBytes += crossing;
      ms += (problem.boundaryMs ?? 0) + crossing / problem.linkBytesPerMs;
    }
    bottleneckMs = Math.max(bottleneckMs, ms);
  }
  return { cuts, bottleneckMs, movedBytes };
}

function* choices(positions: readonly number[], count: number): Iterable<number[]> {
  if (count < 0) return;
  if (count === 0) {
    yield [];
    return;
  }
  for (let i = 0; i <= positions.length - count; i++) {
    for (const rest of choices(positions.slice(i + 1), count - 1)) yield [positions[i] ?? 0, ...rest];
  }
}

describe("partition", () => {
  it("equals the best of all cuts in 2,000 random cases, ties and infeasible ones included", () => {
    const random = seededRandom(5);
    const seen = { feasible: 0, "part-too-large": 0, "needs-more-stages": 0, "too-few-cuts": 0 };
    for (let i = 0; i < 2_000; i++) {
      const problem = randomProblem(random);
      const found = partition(problem);
      const expected = bruteForce(problem);
      if (!found.feasible) {
        assert.equal(expected, undefined, `case ${i}: ${found.reason}`);
        seen[found.kind]++;
        continue;
      }
      seen.feasible++;
      assert.deepEqual(found.cuts, expected?.cuts, `case ${i}`);
      assert.equal(found.bottleneckMs, expected?.bottleneckMs);
      assert.ok(found.stages.every((stage) => stage.memoryBytes <= problem.memoryLimitBytes));
    }
    for (const [kind, count] of Object.entries(seen)) assert.ok(count > 50, `${kind}: ${count} cases`);
  });

  it("says how few and how many stages are possible", () => {
    const random = seededRandom(6);
    let checked = 0;
    for (let i = 0; i < 300; i++) {
      const problem = randomProblem(random);
      const found = partition(problem);
      if (found.feasible || found.possibleStages === undefined) continue;
      const { fewest, most } = found.possibleStages;
      const isPossible = (stages: number) => bruteForce({ ...problem, stages }) !== undefined;
      assert.deepEqual([fewest - 1, fewest, most, most + 1].map(isPossible), [false, true, true, false]);
      checked++;
    }
    assert.ok(checked > 20);
  });

  it("names what does not fit", () => {
    const base = {
      nodeMs: [1, 1, 1],
      weightBytes: [10, 50, 50],
      candidates: [{ position: 1 }],
      linkBytesPerMs: 1,
      stages: 2,
      memoryLimitBytes: 60,
    };
    const reason = (problem: PartitionProblem) => {
      const found = partition(problem);
      return found.feasible ? "" : found.reason;
    };
    assert.equal(reason(base), "nodes 1 to 2, between which there is no cut, need 100 bytes; a stage may take 60");
    const cuttable = { ...base, candidates: [{ position: 1 }, { position: 2 }] };
    assert.equal(reason({ ...cuttable, stages: 1 }), "1 stages asked, but with 60 bytes a stage it takes at least 2");
    assert.equal(reason({ ...cuttable, stages: 4 }), "4 stages asked, but there are cuts for 3 at most");
    assert.equal(reason({ ...cuttable, memoryLimitBytes: 9 }), "node 0 needs 10 bytes; a stage may take 9");
    assert.equal(reason(cuttable), "");
  });

  it("cuts 4,000 nodes into 16 stages without a table of all pairs", () => {
    const random = seededRandom(7);
    const nodeMs = Array.from({ length: 4_000 }, () => random());
    const candidates = nodeMs.slice(1).map((_, i) => ({ position: i + 1, bytes: 1 + Math.floor(random() * 100) }));
    const problem = { nodeMs, weightBytes: nodeMs, candidates, linkBytesPerMs: 1_000, stages: 16 };
    const found = partition({ ...problem, memoryLimitBytes: 400 });
    assert.ok(found.feasible);
    assert.ok(imbalance(found.stages.map((stage) => stage.computeMs)) < 1.02);
  });

  it("refuses what is not a time, not a size and not a position", () => {
    const problem = { nodeMs: [1, 2], weightBytes: [0, 0], candidates: [], linkBytesPerMs: 1, stages: 1 };
    const withLimit = { ...problem, memoryLimitBytes: 1 };
    assert.throws(() => partition({ ...withLimit, nodeMs: [1, Number.NaN] }), /finite and not negative/);
    assert.throws(() => partition({ ...withLimit, weightBytes: [0, -1] }), /finite and not negative/);
    assert.throws(() => partition({ ...withLimit, weightBytes: [0] }), /sizes of another number/);
    assert.throws(() => partition({ ...withLimit, candidates: [{ position: 2 }] }), /between 1 and 1/);
  });
});

/** Layers of the prototype's random GPT-20B: embeddings (vocabulary and 2,048 positions), 44 blocks, head. */
function gpt20b(): number[] {
  const width = 6_144;
  const vocabulary = 50_257;
  const block = 12 * width * width + 13 * width;
  return [(vocabulary + 2_048) * width, ...new Array<number>(44).fill(block), vocabulary * width + 2 * width];
}

/** T5-20B: the xxl size (64 heads of 64, gated feed-forward of 10,240) made wider; tables and head not shared. */
function t5Of20b(): number[] {
  const width = 6_144;
  const attention = 4 * width * 64 * 64;
  const feedForward = 3 * width * 10_240;
  const encoder = attention + feedForward + 2 * width;
  const decoder = 2 * attention + feedForward + 3 * width;
  const table = 32_128 * width;
  const blocks = (parameters: number) => new Array<number>(24).fill(parameters);
  return [table, ...blocks(encoder), table, ...blocks(decoder), table];
}

/** Largest stage / mean, by stages: the partition and the prototype's rule (hybridserve.md 3.4). */
const GOLDEN = [
  {
    name: "GPT-20B",
    layers: gpt20b(),
    billions: "20.57",
    stages: [2, 4, 6, 8, 12],
    exact: [1.001, 1.032, 1.057, 1.057, 1.057],
    counted: [1.043, 1.057, 1.057, 1.057, 1.238],
  },
  {
    name: "T5-20B",
    layers: t5Of20b(),
    billions: "16.90",
    stages: [2, 4, 6, 8, 12],
    exact: [1.007, 1.016, 1.04, 1.096, 1.108],
    counted: [1.039, 1.062, 1.108, 1.108, 1.248],
  },
];

describe("layers by parameters", () => {
  for (const { name, layers, billions, stages, exact, counted } of GOLDEN) {
    const positions = layers.slice(1).map((_, i) => i + 1);
    const costs = {
      nodeMs: layers,
      weightBytes: layers,
      candidates: positions.map((position) => ({ position })),
      linkBytesPerMs: Number.POSITIVE_INFINITY,
    };
    const unevenness = (cuts: readonly number[]) =>
      Number(imbalance(evaluateCuts(costs, cuts).stages.map((stage) => stage.computeMs)).toFixed(3));

    it(`${name} has its published size`, () => {
      assert.equal((layers.reduce((a, b) => a + b, 0) / 1e9).toFixed(2), billions);
    });

    it(`${name} in ${stages.join(", ")} stages: largest / mean is the published one`, () => {
      const found = stages.map((count) => {
        const cut = partition({ ...costs, stages: count, memoryLimitBytes: Number.POSITIVE_INFINITY });
        return cut.feasible ? unevenness(cut.cuts) : undefined;
      });
      assert.deepEqual(found, exact);
    });

    it(`${name} by the prototype's rule: the same, more uneven`, () => {
      const found = stages.map((count) => {
        const cut = partitionByParameterCount(layers, positions, count);
        return cut.feasible ? unevenness(cut.cuts) : undefined;
      });
      assert.deepEqual(found, counted);
    });
  }
});

describe("partition by parameter count", () => {
  it("puts a layer where its cumulative count lies, borders included", () => {
    assert.deepEqual(partitionByParameterCount([1, 1, 1, 1], [1, 2, 3], 2), { feasible: true, cuts: [2] });
    assert.deepEqual(partitionByParameterCount([0, 2, 1, 1], [1, 2, 3], 2), { feasible: true, cuts: [2] });
    assert.deepEqual(partitionByParameterCount([1, 2, 1], [1, 2], 2), { feasible: true, cuts: [1] });
  });

  it("has no answer where one layer spans a stage", () => {
    assert.deepEqual(partitionByParameterCount([1, 1, 8], [1, 2], 3), { feasible: false, stage: 1 });
    assert.deepEqual(partitionByParameterCount([9, 1], [1], 2), { feasible: false, stage: 0 });
    assert.deepEqual(partitionByParameterCount([0, 0], [1], 2), { feasible: false, stage: 1 });
  });
});
