import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { CellTable, type GateCuts, type HopelessAction } from "../../../planner/cascade/cell-table.ts";
import { evaluateGates } from "../../../planner/cascade/evaluate.ts";
import type { LevelOutcomes } from "../../../planner/cascade/outcomes.ts";
import { rowLosses } from "../../../planner/cascade/row-losses.ts";
import { anyOutcomes } from "./outcome-samples.ts";

const COSTS = [1, 10, 100, 1000, 10_000];

interface Case {
  readonly outcomes: LevelOutcomes;
  readonly levels: number;
  readonly cells: number;
  readonly hopeless: HopelessAction;
  /** Draws in 0..1000 that become cuts once the table's borders are known. */
  readonly draws: readonly number[];
}

const CASES: fc.Arbitrary<Case> = fc.integer({ min: 2, max: 5 }).chain((levels) =>
  fc.record({
    outcomes: anyOutcomes(levels, 40),
    levels: fc.constant(levels),
    cells: fc.integer({ min: 2, max: 12 }),
    hopeless: fc.constantFrom<HopelessAction>(null, "accept", "last"),
    draws: fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 20, maxLength: 20 }),
  }),
);

/** Non-increasing borders of each gate: accept (1 at least), skips, and the hopeless cut where there is one. */
function cutsOf(table: CellTable, { levels, hopeless, draws }: Case): GateCuts[] {
  let at = 0;
  return table.neverBorders.map((never, k) => {
    const size = levels - 1 - k + (hopeless === null ? 0 : 1);
    const own = draws.slice(at, at + size).map((draw) => Math.round((draw / 1000) * never));
    at += size;
    own.sort((a, b) => b - a);
    return own.map((border, i) => (i === 0 ? Math.max(1, border) : border));
  });
}

describe("CellTable", () => {
  it("gives what routing every row gives, for any cuts", () => {
    fc.assert(
      fc.property(CASES, (sample) => {
        const costs = COSTS.slice(0, sample.levels);
        const table = new CellTable(sample.outcomes, costs, sample.cells, sample.hopeless);
        const cuts = cutsOf(table, sample);
        const counted = { accuracy: 0, harm: 0, cost: 0 };
        table.evaluate(cuts, counted);
        const routed = evaluateGates(sample.outcomes, table.gates(cuts), costs);
        for (const figure of ["accuracy", "harm", "cost"] as const) {
          const difference = Math.abs(counted[figure] - routed[figure]);
          assert.ok(difference < 1e-9 * Math.max(1, routed[figure]), `${figure} ${counted[figure]} ${routed[figure]}`);
        }
      }),
      { numRuns: 2000, seed: 11 },
    );
  });

  it("makes gates that cascade.json may hold: finite cuts that never rise", () => {
    fc.assert(
      fc.property(CASES, (sample) => {
        const table = new CellTable(sample.outcomes, COSTS.slice(0, sample.levels), sample.cells, sample.hopeless);
        table.gates(cutsOf(table, sample)).forEach(({ accept, skip, hopeless }, k) => {
          const cuts = [accept, ...skip, ...(hopeless === null ? [] : [hopeless.below])];
          assert.ok(cuts.every((cut) => Number.isFinite(cut) && cut >= 0));
          assert.ok(cuts.every((cut, i) => i === 0 || cut <= (cuts[i - 1] ?? 0)));
          assert.ok(skip.length <= sample.levels - 2 - k);
        });
      }),
      { numRuns: 500, seed: 12 },
    );
  });

  it("keeps equal confidences in one cell and cuts a saturated end as finely as the rest", () => {
    const rows = 1000;
    const saturated = Float64Array.from({ length: rows }, (_, i) => (i < 300 ? 1 : 1 - 2 ** -(10 + i / 25)));
    const zeros = () => new Uint8Array(rows);
    const outcomes = {
      rows,
      confidences: [saturated],
      correct: [zeros(), zeros()],
      answers: [new Int32Array(rows), new Int32Array(rows)],
    };
    const [borders = []] = new CellTable(outcomes, [1, 10], 10, null).borders;
    assert.deepEqual(borders.slice(0, 2), [Number.NEGATIVE_INFINITY, 0]);
    const between = borders.filter((border) => border > 0.999 && border < 1);
    assert.equal(between.length, 6, String(borders));
    assert.equal(borders.filter((border) => border === 1).length, 1);
  });
});

describe("evaluateGates", () => {
  it("counts paths, reach and losses of a case worked out by hand", () => {
    const outcomes = {
      rows: 4,
      confidences: [Float64Array.of(0.9, 0.5, 0.1, Number.NaN), Float64Array.of(0, 0.8, 0.9, 0.9)],
      answers: [Int32Array.of(1, 1, 1, 1), Int32Array.of(0, 2, 0, 0), Int32Array.of(2, 1, 3, 0)],
      correct: [Uint8Array.of(0, 1, 0, 0), Uint8Array.of(0, 0, 0, 1), Uint8Array.of(1, 1, 0, 1)],
    };
    const gates = [
      { accept: 0.9, skip: [0.2], hopeless: null },
      { accept: 0.7, skip: [], hopeless: null },
    ];
    const { confidences, ...outcome } = evaluateGates(outcomes, gates, [1, 10, 100]);
    // Row 0 stands at level 0, row 1 at level 1, rows 2 and 3 skip to level 2; both answers that stand are harm.
    assert.deepEqual(outcome, {
      gates,
      rows: 4,
      accuracy: 0.25,
      lastLevelAccuracy: 0.75,
      cost: (1 + 11 + 101 + 101) / 4,
      reach: [1, 0.25, 0.5],
      paths: [
        [0.25, 0.25, 0.5],
        [0, 1, 0],
        [0, 0, 1],
      ],
      harm: 0.5,
      gap: 0.5,
      disagreement: 0.5,
    });
    // Three of the four have a confidence at level 0, one enters level 1, the last level has none.
    const filled = confidences.map((shares) => shares.flatMap((share, bin) => (share > 0 ? [[bin, share]] : [])));
    assert.deepEqual(filled, [
      [
        [2, 1 / 3],
        [10, 1 / 3],
        [18, 1 / 3],
      ],
      [[16, 1]],
      [],
    ]);
  });

  it("agrees with the losses that the certificate tests", () => {
    fc.assert(
      fc.property(CASES, (sample) => {
        const table = new CellTable(sample.outcomes, COSTS.slice(0, sample.levels), sample.cells, sample.hopeless);
        const gates = table.gates(cutsOf(table, sample));
        const { rows, gap, harm, disagreement } = evaluateGates(sample.outcomes, gates, COSTS);
        const losses = rowLosses(sample.outcomes, gates);
        const mean = (values: Iterable<number>) => [...values].reduce((sum, value) => sum + value, 0) / rows;
        assert.ok(Math.abs(mean(losses.gap) - gap) < 1e-12);
        assert.ok(Math.abs(mean(losses.gap.map((value) => (value > 0 ? 1 : 0))) - harm) < 1e-12);
        assert.ok(Math.abs(mean(losses.disagrees) - disagreement) < 1e-12);
      }),
      { numRuns: 500, seed: 13 },
    );
  });
});
