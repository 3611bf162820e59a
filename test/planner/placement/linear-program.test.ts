import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { solveLinearProgram } from "../../../planner/placement/linear-program.ts";

test("the optimum of a textbook program, with the price of each limit", () => {
  const program = {
    objectives: [[5, 4]],
    rows: [
      [6, 4],
      [1, 2],
    ],
    limits: [24, 6],
  };
  const { x, prices } = solveLinearProgram(program);
  near(x[0], 3);
  near(x[1], 1.5);
  // Worth of the limits at the optimum equals the optimum.
  near((prices[0] ?? 0) * 24 + (prices[1] ?? 0) * 6, 21);
});

test("a second objective chooses among the optima of the first", () => {
  const rows = [[1, 1, 1]];
  const first = solveLinearProgram({ objectives: [[1, 1, 0]], rows, limits: [4] });
  near((first.x[0] ?? 0) + (first.x[1] ?? 0), 4);
  const second = solveLinearProgram({
    objectives: [
      [1, 1, 0],
      [-1, 0, 0],
    ],
    rows,
    limits: [4],
  });
  near(second.x[0], 0);
  near(second.x[1], 4);
});

test("random programs: the point is feasible and as good as the prices allow (weak duality, met)", () => {
  for (let seed = 0; seed < 300; seed++) {
    const random = seededRandom(seed);
    const variables = 1 + Math.floor(random() * 6);
    const count = 1 + Math.floor(random() * 6);
    const rows = Array.from({ length: count }, () => Array.from({ length: variables }, () => random()));
    // Degenerate on purpose: some limits are 0.
    const limits = rows.map(() => (random() < 0.2 ? 0 : random() * 10));
    const objective = Array.from({ length: variables }, () => random() - 0.2);
    const { x, prices } = solveLinearProgram({ objectives: [objective], rows, limits });
    const value = objective.reduce((sum, cost, j) => sum + cost * (x[j] ?? 0), 0);
    for (const [i, row] of rows.entries()) {
      const used = row.reduce((sum, cell, j) => sum + cell * (x[j] ?? 0), 0);
      assert.ok(used <= (limits[i] ?? 0) + 1e-9, `seed ${seed}: row ${i}`);
      assert.ok((prices[i] ?? 0) >= -1e-12);
    }
    for (const [j, cost] of objective.entries()) {
      const charged = rows.reduce((sum, row, i) => sum + (row[j] ?? 0) * (prices[i] ?? 0), 0);
      assert.ok(charged >= cost - 1e-9, `seed ${seed}: column ${j}`);
    }
    near(
      limits.reduce((sum, limit, i) => sum + limit * (prices[i] ?? 0), 0),
      value,
    );
  }
});

test("an unbounded program is an error, not an endless loop", () => {
  assert.throws(() => solveLinearProgram({ objectives: [[1]], rows: [[0]], limits: [1] }), /unbounded/);
});

function near(actual: number | undefined, expected: number): void {
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) < 1e-9, `${actual} is not ${expected}`);
}
