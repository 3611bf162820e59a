import assert from "node:assert/strict";
import test from "node:test";
import { reachOf, readWorkloadFile } from "../../../proto/files/workload-file.ts";

const LEAST = { formatVersion: 1, rate: 50, slo: { latencyMs: 100 } };

function read(changes: object): ReturnType<typeof readWorkloadFile> {
  return readWorkloadFile(JSON.stringify({ ...LEAST, ...changes }), "w.json");
}

test("what is left out is Poisson arrivals of single rows, 99 % in time, no dataflow, no shadows", () => {
  assert.deepEqual(read({}), {
    rate: 50,
    arrivals: { process: "poisson" },
    rowsPerRequest: 1,
    slo: { latencyMs: 100, percentile: 0.99 },
    dataflow: null,
    shadowShare: 0,
  });
});

test("reach without skips is paths to the next level", () => {
  const { dataflow } = read({ dataflow: { levels: ["s", "m", "l"], reach: [1, 0.4, 0.1] } });
  assert.deepEqual(dataflow?.paths, [
    [0.6, 0.4, 0],
    [0, 0.75, 0.25],
    [0, 0, 1],
  ]);
  const reach = reachOf(dataflow?.paths ?? []);
  assert.ok(reach.every((share, k) => Math.abs(share - ([1, 0.4, 0.1][k] ?? 0)) < 1e-12));
});

test("reach of paths with a skip", () => {
  const paths = [
    [0.5, 0.3, 0.2],
    [0, 0.4, 0.6],
    [0, 0, 1],
  ];
  const { dataflow } = read({ dataflow: { levels: ["s", "m", "l"], paths, recorded: "rows.npz" } });
  assert.equal(dataflow?.recorded, "rows.npz");
  const last = reachOf(dataflow?.paths ?? [])[2] ?? 0;
  assert.ok(Math.abs(last - 0.38) < 1e-12);
});

test("a point that asks the last level at once has zeros for the levels that no row enters", () => {
  const paths = [
    [0, 0],
    [0, 1],
  ];
  const { dataflow } = read({ dataflow: { levels: ["s", "l"], paths } });
  assert.deepEqual(dataflow?.paths, paths);
  assert.deepEqual(reachOf(paths), [0, 1]);
});

test("arrivals: bursts and traces", () => {
  assert.deepEqual(read({ arrivals: { process: "gamma", cv: 2 } }).arrivals, { process: "gamma", cv: 2 });
  const trace = { process: "trace", file: "arrivals.txt" };
  assert.deepEqual(read({ arrivals: trace }).arrivals, trace);
});

test("complaints name the file, the place and what is wrong", () => {
  const levels = ["s", "l"];
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ rate: 0 }, /w\.json: rate must be above 0/],
    [{ slo: { latencyMs: 0 } }, /w\.json: slo\.latencyMs must be above 0/],
    [{ slo: { latencyMs: 5, percentil: 1 } }, /w\.json: slo\.percentil is not a known key/],
    [{ arrivals: { process: "uniform" } }, /w\.json: arrivals\.process must be one of/],
    [{ arrivals: { process: "poisson", cv: 1 } }, /w\.json: arrivals\.cv is not a known key/],
    [{ arrivals: { process: "gamma" } }, /w\.json: arrivals\.cv is missing/],
    [{ rowsPerRequest: 0 }, /w\.json: rowsPerRequest must be a number between 1/],
    [{ shadowShare: 2 }, /w\.json: shadowShare must be a number between 0 and 1/],
    [{ dataflow: { levels: [] } }, /w\.json: dataflow\.levels must name at least one model/],
    [{ dataflow: { levels } }, /w\.json: dataflow must hold either 'paths' or 'reach'/],
    [{ dataflow: { levels, reach: [1, 0.2], paths: [] } }, /w\.json: dataflow must hold either/],
    [{ dataflow: { levels, reach: [0.9, 0.2] } }, /w\.json: dataflow\.reach must begin with 1/],
    [{ dataflow: { levels: ["a", "b", "c"], reach: [1, 0.2, 0.3] } }, /w\.json: dataflow\.reach must not rise/],
    [{ dataflow: { levels, paths: [[1, 0]] } }, /w\.json: dataflow\.paths must hold one list for each of the 2/],
    [{ dataflow: { levels, paths: [[1], [0, 1]] } }, /w\.json: dataflow\.paths\[0\] must hold one share for each/],
    [
      {
        dataflow: {
          levels,
          paths: [
            [0.5, 0.4],
            [0, 1],
          ],
        },
      },
      /w\.json: dataflow\.paths\[0\] must add up to 1/,
    ],
    [
      {
        dataflow: {
          levels,
          paths: [
            [0.5, 0.5],
            [0.1, 0.9],
          ],
        },
      },
      /paths\[1\] must not send rows back/,
    ],
  ];
  for (const [changes, complaint] of cases) assert.throws(() => read(changes), complaint, JSON.stringify(changes));
});
