/** Medians over rounds and the table made of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Sample, summarise, toComparison, toTable } from "../../bench/report.ts";

function sample(subject: string, round: number, serverCpuUs: number | undefined, computeUs = 0): Sample {
  return {
    subject,
    round,
    workload: "l",
    concurrency: 32,
    requestsPerSecond: 1000 * (round + 1),
    p50Ms: 1,
    p95Ms: 2,
    p99Ms: 3,
    serverCpuUs,
    clientCpuUs: 10,
    rssMb: 100,
    computeUs,
    batchSizes: {},
    otherCores: 0,
    stealCores: 0,
  };
}

test("a point is the median of its rounds, and rounds without CPU times are left out", () => {
  const points = summarise([sample("s", 0, 50), sample("s", 1, 90), sample("s", 2, undefined), sample("echo", 0, 40)]);
  assert.deepEqual(
    points.map(({ subject, requestsPerSecond, serverCpuUs }) => ({ subject, requestsPerSecond, serverCpuUs })),
    [
      { subject: "s", requestsPerSecond: 2000, serverCpuUs: 70 },
      { subject: "echo", requestsPerSecond: 1000, serverCpuUs: 40 },
    ],
  );
});

test("the table puts both floors beside the server", () => {
  const [, row] = toTable(summarise([sample("s", 0, 400, 300), sample("echo", 0, 50)]), "echo").split("\n");
  assert.deepEqual(row?.split(/ {2,}/), [
    ...["l", "32", "s", "1,000", "1.00", "2.00", "3.00"],
    ...["400", "100", "50.0", "8.00", "300", "100"],
  ]);
});

test("the comparison is in CPU time", () => {
  const [, row] = toComparison(summarise([sample("a", 0, 90), sample("b", 0, 100)]), "a", "b").split("\n");
  assert.deepEqual(row?.split(/ {2,}/), ["l", "32", "90.0", "100", "0.900"]);
});
