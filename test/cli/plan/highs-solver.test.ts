/** The solver in its real worker thread: the package and its messages are what is tested. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SolverProgress } from "../../../cli/plan/highs-protocol.ts";
import { HighsSolver } from "../../../cli/plan/highs-solver.ts";
import { seededRandom } from "../../../planner/cascade/random.ts";
import { MilpBuilder, type MilpProblem, type Term } from "../../../planner/placement/milp.ts";

const EXACT = { relativeGap: 0, nodeLimit: 100_000, timeLimitMs: 20_000, start: null };

test("integers, bounds, both senses, no point at all, a plain LP; one after another in one thread", async () => {
  const solver = new HighsSolver();
  try {
    const most = solver.solve(twoProducts("maximise").build("maximise"), EXACT);
    const least = solver.solve(twoProducts("minimise").build("minimise"), EXACT);
    const none = twoProducts("maximise");
    none.atLeast([[0, 1]], 5);
    const impossible = solver.solve(none.build("maximise"), EXACT);
    const lp = new MilpBuilder();
    lp.atMost([[lp.column(1, 3, "real"), 2]], 5);
    const real = solver.solve(lp.build("maximise"), EXACT);
    assert.equal((await most).objective, 20);
    assert.deepEqual(
      (await most).values?.map((value) => Math.round(value) + 0),
      [4, 0],
    );
    assert.equal((await most).bound, 20);
    assert.equal((await least).objective, 4);
    assert.deepEqual([(await impossible).isInfeasible, (await impossible).values], [true, null]);
    assert.equal((await real).objective, 2.5);
    assert.equal((await real).isTimeLimited, false);
  } finally {
    await solver.close();
  }
});

test("a start within the gap is the answer; a time limit is told", async () => {
  const solver = new HighsSolver();
  try {
    const problem = knapsack(40, 3);
    const optimum = await solver.solve(problem, EXACT);
    const started = await solver.solve(problem, { ...EXACT, relativeGap: 0.5, start: optimum.values });
    assert.ok(Math.abs(started.objective - optimum.objective) < 1e-6);
    const stopped = await solver.solve(knapsack(200, 40), { ...EXACT, timeLimitMs: 150 });
    assert.equal(stopped.isTimeLimited, true);
  } finally {
    await solver.close();
  }
});

test("a time limit of all solves together ends those that come after it", async () => {
  const solver = new HighsSolver({ timeLimitMs: 150 });
  try {
    const first = await solver.solve(knapsack(200, 40), EXACT);
    const second = await solver.solve(knapsack(200, 40), EXACT);
    assert.deepEqual([first.isTimeLimited, second.isTimeLimited], [true, true]);
    assert.ok(second.solverMs < 5_000, `${second.solverMs}`);
  } finally {
    await solver.close();
  }
});

test("progress arrives while it solves, and stopping ends the thread at once", async () => {
  const controller = new AbortController();
  const seen: SolverProgress[] = [];
  const onProgress = (progress: SolverProgress) => {
    seen.push(progress);
    controller.abort();
  };
  const solver = new HighsSolver({ signal: controller.signal, onProgress });
  const hard = knapsack(200, 40);
  try {
    await assert.rejects(solver.solve(hard, { ...EXACT, timeLimitMs: 10_000 }), { code: "CANCELLED" });
    assert.ok((seen[0]?.elapsedMs ?? -1) >= 0);
    await assert.rejects(solver.solve(hard, EXACT), { code: "CANCELLED" });
  } finally {
    await solver.close();
  }
});

test("an error of the package is short, and the next solve works", async () => {
  const solver = new HighsSolver();
  try {
    const broken: MilpProblem = { ...twoProducts("maximise").build("maximise"), columns: [0, 1, 0, 9] };
    await assert.rejects(solver.solve(broken, EXACT), (reason: Error) => {
      assert.match(reason.message, /^HiGHS failed: ./);
      return reason.message.length < 400;
    });
    assert.equal((await solver.solve(twoProducts("maximise").build("maximise"), EXACT)).objective, 20);
  } finally {
    await solver.close();
  }
});

/** 6x + 4y <= 24, x + 2y <= 6: at most 5x + 4y = 20 in integers; at least 4 with x + y >= 1. */
function twoProducts(sense: MilpProblem["sense"]): MilpBuilder {
  const builder = new MilpBuilder();
  const x = builder.column(5, 10, "integer");
  const y = builder.column(4, Number.POSITIVE_INFINITY, "integer");
  const row = (a: number, b: number): Term[] => [
    [x, a],
    [y, b],
  ];
  builder.atMost(row(6, 4), 24);
  builder.atMost(row(1, 2), 6);
  if (sense === "minimise") builder.atLeast(row(1, 1), 1);
  return builder;
}

/** Random 0/1 items under `rows` limits: the more limits, the harder. */
function knapsack(items: number, rows: number): MilpProblem {
  const random = seededRandom(7);
  const builder = new MilpBuilder();
  const columns = Array.from({ length: items }, () => builder.column(1 + Math.floor(100 * random()), 1, "integer"));
  for (let i = 0; i < rows; i++) {
    builder.atMost(
      columns.map((column): Term => [column, 1 + Math.floor(100 * random())]),
      items * 15,
    );
  }
  return builder.build("maximise");
}
